"""`report`: activity and state of the queues, as a page for people and as JSON for programs.

`figures.py` reads the statistics, this module evaluates them, `pages.py` renders the page.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from gopher.base.durations import format_duration
from gopher.base.latencies import BOUNDS
from gopher.base.states import COUNTED
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job
from gopher.reads.advice import NO_SCHEDULER

from . import files, last_summary, overtime, pages
from .figures import EVENTS, Figures, Spread, collect, counts_of, grown
from .mail import Addresses, check_one_line

#: A queue whose oldest job has waited longer than this (s) is a finding.
LONG_WAIT = 60.0
#: A type of whose finished jobs more than this fraction failed is a finding.
MANY_FAILURES = 0.1

_TITLES = {"daily_summary": "Daily summary", "queue_health": "Queue health", "workers": "Workers"}


class Report(msgspec.Struct, forbid_unknown_fields=True):
    """Which report: activity since the last daily summary, health of the queues, or the workers.

    With `mail_to`, an address or a list of addresses, the page is sent there by an `email` job.
    """

    report_type: Literal["daily_summary", "queue_health", "workers"]
    mail_to: Addresses | None = None

    def __post_init__(self) -> None:
        check_one_line("mail_to", self.mail_to)


@handler("report", timeout="60s", needs="read")
def report(job: Job, payload: Report) -> dict[str, Any]:
    """Stores a report on the queues, as HTML with plots and as JSON."""
    from gopher.config.settings import Settings
    from gopher.queue.store import Server

    job.progress(0.1, "reading the statistics")
    server = Server(Settings.from_env(), connections=1)
    try:
        figures = collect(server)
    finally:
        server.close()
    job.progress(0.6, "writing")
    kind = payload.report_type
    before = last_summary.before(job) if kind == "daily_summary" else None
    summary = summarise(kind, figures, before)
    page = draw(kind, figures, summary)
    html = files.attached(job, page.encode(), f"{kind}.html")
    data = files.attached(job, msgspec.json.encode(summary | {"figures": figures}), f"{kind}.json")
    if kind == "daily_summary":
        last_summary.keep(job, summary, before)
    mailed = {"mail_job_id": mail(job, payload, summary, page)} if payload.mail_to else {}
    job.progress(1.0, "done")
    stored = {**html, **{f"json_{name}": text for name, text in data.items()}}
    return {**stored, **mailed, **_short(summary)}


def mail(job: Job, payload: Report, summary: dict[str, Any], page: str) -> str:
    """Submit a job that mails a report: its findings as text, the page as an attachment. Return the job's id."""
    from gopher.client import Client
    from gopher.config.settings import Settings
    from gopher.jobs.registry import registry

    title = f"Gopher: {_TITLES[payload.report_type]}, {summary['generated_at'][:10]}"
    message = {
        "to": payload.mail_to,
        "subject": title,
        "body": _as_text(title, summary),
        "attachments": [{"name": f"{payload.report_type}.html", "type": "text/html", "content": page}],
    }
    # Once, though this job may be repeated.
    with Client(settings=Settings.from_env(), registry=registry, connections=1) as client:
        return client.enqueue("email", message, queue=job.queue, unique_key=f"report:{job.id}")


def _as_text(title: str, summary: dict[str, Any]) -> str:
    findings = summary["findings"] or ["Nothing needs attention."]
    totals = [f"{count:,} {event}" for event, count in summary["totals"].items()]
    return "\n".join([title, "", *findings[:50], "", *totals, "", "The complete report is attached.", ""])


def _short(summary: dict[str, Any]) -> dict[str, Any]:
    """Remove what grows with the number of types and queues: results have a size limit, the JSON file has none."""
    short = {name: value for name, value in summary.items() if name not in ("by_type", "counts")}
    return short | {"findings": summary["findings"][:20]}


def summarise(report_type: str, figures: Figures, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a report's summary: the head of its JSON file, and mostly also the job's result.

    `before` is the JSON of the last daily summary; `by_type` then contains the counts since, otherwise all counts.
    """
    counts = counts_of(figures)
    by_type = grown(counts, before["counts"]) if before else counts
    return {
        "report_type": report_type,
        "generated_at": figures.generated_at,
        "since": before["generated_at"] if before else None,
        "totals": {event: sum(each[event] for each in by_type.values()) for event in EVENTS},
        "by_type": by_type,
        "waiting": figures.stats.queue_size,
        "dead_letters": sum(queue.failed for queue in figures.stats.queues.values()),
        "workers": len(figures.workers),
        "findings": list(_findings(figures)),
        "counts": counts,
    }


def _findings(figures: Figures) -> Iterator[str]:
    served = {queue for worker in figures.workers for queue in worker.queues}
    if not figures.schedulers:
        yield f"{NO_SCHEDULER[0].upper()}{NO_SCHEDULER[1:]}."
    for name, queue in figures.stats.queues.items():
        if queue.waiting and name not in served:
            yield f"Queue {name}: {queue.waiting:,} jobs are waiting and no worker serves it."
        if queue.oldest_waiting_age > LONG_WAIT:
            yield f"Queue {name}: the oldest job has been waiting for {format_duration(queue.oldest_waiting_age)}."
        if queue.failed:
            yield f"Queue {name}: {queue.failed:,} dead letters."
    for name, each in figures.types.items():
        ended = each.counts["completed"] + each.counts["failed"]
        if each.counts["failed"] > MANY_FAILURES * ended:
            yield f"Type {name}: {each.counts['failed']:,} of {ended:,} finished jobs failed."


def draw(report_type: str, figures: Figures, summary: dict[str, Any]) -> str:
    """Return a report's page."""
    parts = {"daily_summary": _daily_summary, "queue_health": _queue_health, "workers": _workers}[report_type]
    since = summary["since"] or "counting began"
    when = f"{figures.generated_at}, totals since {since}"
    return pages.page(f"Gopher: {_TITLES[report_type]}", when, parts(figures, summary))


def _daily_summary(figures: Figures, summary: dict[str, Any]) -> Iterator[str]:
    by_type: dict[str, dict[str, int]] = summary["by_type"]
    yield pages.cards(summary["totals"].items())
    yield pages.section("Findings", pages.findings(summary["findings"]))
    yield from overtime.sections(figures.timeline)
    completed = [(name, counts["completed"]) for name, counts in by_type.items()]
    yield pages.section("Completed jobs by type", pages.bars("Completed jobs by type", completed))
    rows = [(name, *(counts[event] for event in EVENTS)) for name, counts in by_type.items()]
    yield pages.section("Jobs by type", pages.table(("type", *EVENTS), rows))
    yield _latencies("Run time (s), since counting began", {n: each.run for n, each in figures.types.items()})
    errors = [(name, error, count) for name, each in figures.types.items() for error, count in each.errors.items()]
    yield pages.section("Failures, since counting began", pages.table(("type", "error", "jobs"), errors))


def _queue_health(figures: Figures, summary: dict[str, Any]) -> Iterator[str]:
    queues = figures.stats.queues
    yield pages.cards([(name, summary[name]) for name in ("waiting", "dead_letters", "workers")])
    yield pages.section("Findings", pages.findings(summary["findings"]))
    waiting = [(name, queue.waiting) for name, queue in queues.items()]
    yield pages.section("Waiting jobs by queue", pages.bars("Waiting jobs by queue", waiting))
    columns = ("waiting", *COUNTED, "oldest_waiting_age")
    rows = [(name, *(getattr(queue, column) for column in columns)) for name, queue in queues.items()]
    titles = ("queue", *columns[:-1], "oldest waiting (s)")
    yield pages.section("Queues", pages.table(titles, rows))
    priorities = [
        (name, priority, each.waiting, each.oldest_waiting_age)
        for name, queue in queues.items()
        for priority, each in queue.priorities.items()
    ]
    yield pages.section("Priorities", pages.table(("queue", "priority", "waiting", "oldest waiting (s)"), priorities))
    yield _latencies("Wait time (s), since counting began", {n: t.wait for n, t in figures.types.items()})


def _workers(figures: Figures, summary: dict[str, Any]) -> Iterator[str]:
    busy = sum(child.job_id is not None for worker in figures.workers for child in worker.children)
    children = sum(len(worker.children) for worker in figures.workers)
    yield pages.cards([("workers", len(figures.workers)), ("children", children), ("busy", busy)])
    yield pages.section("Findings", pages.findings(summary["findings"]))
    done = [(f"{worker.host}:{worker.pid}", worker.jobs_done) for worker in figures.workers]
    yield pages.section("Jobs done by worker", pages.bars("Jobs done by worker", done))
    rows = [
        (worker.host, worker.pid, ", ".join(worker.queues), worker.jobs_done, worker.started_at)
        for worker in figures.workers
    ]
    yield pages.section("Workers", pages.table(("host", "pid", "queues", "jobs done", "started"), rows))
    running = [
        (child.job_type, child.job_id, f"{worker.host}:{child.pid}", child.running_since)
        for worker in figures.workers
        for child in worker.children
        if child.job_id is not None
    ]
    yield pages.section("Running now", pages.table(("type", "job", "child", "since"), running))


def _latencies(title: str, latencies: dict[str, Spread]) -> str:
    """Return a histogram over all types, and a table of each."""
    counted = [sum(each.buckets[number] for each in latencies.values()) for number in range(len(BOUNDS) + 1)]
    names = [format_duration(bound / 1000) for bound in BOUNDS] + ["more"]
    used = [number for number, count in enumerate(counted) if count]
    span = range(used[0], used[-1] + 1) if used else range(0)
    plot = pages.columns(title, [(names[number], counted[number]) for number in span])
    rows = [(name, each.count, each.mean, each.p50, each.p95) for name, each in latencies.items()]
    return pages.section(title, plot if used else "", pages.table(("type", "jobs", "mean", "p50", "p95"), rows))

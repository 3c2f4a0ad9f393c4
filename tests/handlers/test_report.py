"""Reports: worked out from made figures, drawn as pages, and written from a real server's."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import Discard, InvalidJob
from gopher.handlers import overtime, pages
from gopher.handlers.figures import Figures, grown, spread, type_figures
from gopher.handlers.plots import Mark, lines, rounded, stacked
from gopher.handlers.report import draw, summarise
from gopher.jobs.job import Job, NewJob, new_job_id
from gopher.jobs.models import ChildView, WorkerView
from gopher.jobs.stats import PriorityStats, QueueStats, Stats
from gopher.queue.arguments import Completion
from gopher.queue.store import Server
from gopher.reads.histogram import Latency as Took
from gopher.reads.histogram import quantile
from gopher.reads.timeline import Point, Timeline

TYPES = ("daily_summary", "queue_health", "workers")

TOTALS = {
    "enqueued:email:high": 6,
    "enqueued:email:normal": 6,
    "completed:email": 8,
    "failed:email:MailRefused": 2,
    "failed:email:ValueError": 1,
    "retried:email": 4,
    "stale": 1,
}
HISTOGRAM = {"run:1": 2, "run:7": 5, "run:11": 1, "run:sum_us": 400_000, "wait:21": 1, "wait:sum_us": 9_000_000_000}


def point(at: str, job_type: str = "email", **counts: int) -> Point:
    took = Took(3, 0.5, 0.4, 0.9)
    events = dict.fromkeys(("enqueued", "dequeued", "completed", "failed", "retried", "cancelled", "expired"), 0)
    return Point(
        at=f"2026-11-24T{at}:00.000Z",
        seconds=300.0,
        **{**events, **counts},
        wait=took if counts else Took(0, None, None, None),
        run=took,
        waiting=3,
        running=1,
        scheduled=0,
        retrying=0,
        dead_letters=0,
        types={job_type: counts} if counts else {},
    )


def figures(queue: str = "default", job_type: str = "email", **queue_stats: Any) -> Figures:
    stats: dict[str, Any] = {"waiting": 3, "processing": 1, "scheduled": 2, "retrying": 0, "failed": 2}
    one = QueueStats(
        **{**stats, "oldest_waiting_age": 5.0, **queue_stats},
        priorities={"high": PriorityStats(3, 5.0)},
        total_enqueued=12,
        total_dequeued=12,
        totals={"completed": 8},
    )
    child = ChildView(11, 1, 4, "an-id", job_type, "2026-11-24T08:00:00Z")
    started = "2026-11-24T07:00:00Z"
    worker = WorkerView("w1", "host", 10, "0.1", [queue], [job_type], [child], 8, 1, started, started)
    totals = {name.replace("email", job_type): count for name, count in TOTALS.items()}
    return Figures(
        generated_at="2026-11-24T09:00:00.000Z",
        stats=Stats(3, 12, 12, {queue: one}),
        types={job_type: type_figures(job_type, totals, HISTOGRAM)},
        workers=[worker],
        schedulers=1,
        timeline=Timeline(
            86400.0,
            300.0,
            [
                point("07:00", job_type, enqueued=50, completed=40, failed=1),
                point("08:00"),
                point("09:00", job_type, enqueued=5, completed=4, retried=2),
            ],
        ),
    )


def test_adds_up_the_counters_of_a_type() -> None:
    email = type_figures("email", {**TOTALS, "completed:email.bulk": 99}, {})
    assert email.counts == {"enqueued": 12, "completed": 8, "failed": 3, "retried": 4, "cancelled": 0, "expired": 0}
    assert email.errors == {"MailRefused": 2, "ValueError": 1}


def test_reads_latencies_from_buckets() -> None:
    run = spread("run", HISTOGRAM)
    assert (run.count, run.mean) == (8, 0.05)
    # The same as the timeline has, and Prometheus reckons from the same buckets: not the bounds that they lie below.
    assert (run.p50, run.p95) == (quantile(run.buckets, 0.5), quantile(run.buckets, 0.95))
    assert run.p50 is not None
    assert 0.005 < run.p50 < 0.01
    wait = spread("wait", HISTOGRAM)
    assert (wait.count, wait.p50) == (1, None)
    nothing = spread("run", {})
    assert (nothing.count, nothing.mean, nothing.p95) == (0, None, None)


def test_distinguishes_growth_from_counters_that_were_reset() -> None:
    now = {"email": {"completed": 10, "failed": 1}, "math": {"completed": 3, "failed": 0}}
    assert grown(now, {"email": {"completed": 4, "failed": 5}}) == {
        "email": {"completed": 6, "failed": 1},
        "math": {"completed": 3, "failed": 0},
    }


def test_finds_what_needs_attention() -> None:
    lone = figures(oldest_waiting_age=90.0)
    lone.workers.clear()
    lone.schedulers = 0
    assert summarise("queue_health", lone)["findings"] == [
        "No scheduler is running: scheduled jobs, retries and schedules will not start.",
        "Queue default: 3 jobs are waiting and no worker serves it.",
        "Queue default: the oldest job has been waiting for 1m30s.",
        "Queue default: 2 dead letters.",
        "Type email: 3 of 11 finished jobs failed.",
    ]
    healthy = figures(failed=0)
    healthy.types = {}
    assert summarise("queue_health", healthy)["findings"] == []


class _Tags(HTMLParser):
    """Collects the tags of a page, and checks that they close in order."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</svg></style><b>", "'&lt;", "]]>\x00"]


@pytest.mark.parametrize("report_type", TYPES)
@pytest.mark.parametrize("name", ["plain", *HOSTILE])
def test_draws_a_page_that_no_name_can_break(report_type: str, name: str) -> None:
    made = figures(queue=name, job_type=name)
    page = draw(report_type, made, summarise(report_type, made))
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "iframe", "link"}
    assert name == "plain" or name not in page
    assert "http://" not in page
    assert "https://" not in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        if "\0" not in drawing:
            ElementTree.fromstring(drawing)


def test_draws_plots_of_nothing() -> None:
    for plot in (pages.bars("none", []), pages.columns("none", []), pages.bars("zero", [("a", 0)])):
        ElementTree.fromstring(plot)
    assert pages.table(("a",), []) == "<p>None.</p>"


def test_draws_bars_in_proportion() -> None:
    drawing = ElementTree.fromstring(pages.bars("two", [("a", 10), ("b", 5)]))
    lengths = [float(bar.get("width", 0)) for bar in drawing.iter("rect")]
    assert lengths[0] == pytest.approx(2 * lengths[1])


def test_writes_figures_as_people_read_them() -> None:
    assert [pages.shown(value) for value in (12345, 0.25, 3.0, 12345.6, None, "a")] == [
        "12,345", "0.25", "3", "12,346", "\N{EN DASH}", "a",
    ]  # fmt: skip


def drawings(page: str) -> dict[str, ElementTree.Element]:
    """Return the plots of a page by their titles."""
    found = [ElementTree.fromstring(drawing) for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return {drawing.get("aria-label", ""): drawing for drawing in found}


def test_a_daily_summary_shows_the_last_day() -> None:
    made = figures()
    plots = drawings(draw("daily_summary", made, summarise("daily_summary", made)))
    throughput = plots["Jobs per minute over the last day (UTC)"]
    # 50 jobs in five minutes are ten a minute: the most there is, at the top; 22 hours after the beginning.
    first = next(throughput.iter("path")).get("d", "")
    assert [part for part in re.split("[ML]", first) if part] == [
        f"{56 + 664 * 22 / 24:.1f} 10.0",
        f"{56 + 664 * 23 / 24:.1f} 210.0",
        f"{720:.1f} 190.0",
    ]
    assert "10" in [text.text for text in throughput.iter("text")]
    assert "04:00" in [text.text for text in throughput.iter("text")]
    waiting = next(plots["Wait time over the last day"].iter("path")).get("d", "")
    # A gap where nobody waited.
    assert waiting.count("M") == 2
    failures = plots["Failed attempts by type over the last day"]
    heights = [float(rect.get("height", 0)) for rect in failures.iter("rect")]
    assert heights == [100.0, 200.0]
    assert "Jobs waiting over the last day" in plots


def test_many_types_that_fail_share_a_colour() -> None:
    points = [point("08:00"), *(point("09:00", f"type_{number}", failed=20 - number) for number in range(9))]
    page = "".join(overtime.sections(Timeline(86400.0, 300.0, points)))
    assert page.count("<rect") == 6
    assert "others" in page
    assert page.count("<td>type_") == 9


def test_without_a_past_it_says_so_and_without_failures_too() -> None:
    assert "No data yet" in "".join(overtime.sections(Timeline(86400.0, 300.0, [])))
    page = "".join(overtime.sections(Timeline(3600.0, 10.0, [point("08:00", completed=1), point("08:05")])))
    assert '<p class="good">None.</p>' in page
    assert "over the last hour" in page


def test_axes_end_at_round_numbers() -> None:
    tops = [0.0, 0.0007, 0.83, 1.0, 9.9, 10.0, 111.0, 638.0, 1001.0]
    assert [rounded(top) for top in tops] == pytest.approx([0, 0.0008, 1, 1, 10, 10, 120, 800, 1200])


def test_plots_of_nothing_can_be_drawn() -> None:
    for plot in (
        lines("none", {}, []),
        lines("zero", {"a": [(0.0, 0.0)]}, [Mark(0.5, "<b>")]),
        stacked("none", [], [], []),
    ):
        ElementTree.fromstring(plot.partition("<p class")[0])
        assert "<b>" not in plot


@pytest.fixture
def queues(redis_url: str, namespace: str, files_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("GOPHER_NAMESPACE", namespace)
    server = Server(Settings.from_env())
    server.register_queues("default")
    yield server
    server.close()


def seed_completed(server: Server, count: int) -> None:
    """Enqueue jobs of type email, fetch them and let them succeed."""
    moves = server.queue("default")
    jobs = [NewJob(id=new_job_id(), type="email", envelope=b"{}") for _ in range(count)]
    server.run(moves.enqueue(jobs))
    server.run(moves.heartbeat("w1", 60.0, first=True))
    fetched = server.run(moves.fetch("w1", count, 1, "hnl", strict=False)).jobs
    assert len(fetched) == count
    server.run(moves.complete("w1", [Completion(job.id, job.token, 40.0, b"1", b"") for job in fetched]))


@pytest.mark.parametrize("report_type", TYPES)
def test_reports_on_a_real_server(run: Any, queues: Server, report_type: str) -> None:
    seed_completed(queues, 5)
    result = run("report", {"report_type": report_type})
    assert result["totals"]["completed"] == 5
    page, data = Path(result["path"]), msgspec.json.decode(Path(result["json_path"]).read_bytes())
    assert page.name == f"{report_type}.html"
    assert page.read_text().startswith("<!doctype html>")
    assert data["figures"]["types"]["email"]["run"]["count"] == 5
    assert data["totals"] == result["totals"]
    assert data["by_type"]["email"]["enqueued"] == 5
    assert data["figures"]["stats"]["queues"]["default"]["totals"]["completed"] == 5


def test_reports_on_a_server_that_holds_nothing(run: Any, queues: Server) -> None:
    for report_type in TYPES:
        assert run("report", {"report_type": report_type})["waiting"] == 0


def test_counts_a_daily_summary_from_the_last_one(run: Any, queues: Server, files_folder: Path) -> None:
    seed_completed(queues, 3)
    first = run("report", {"report_type": "daily_summary"})
    assert first["since"] is None
    seed_completed(queues, 2)
    job = Job(id=new_job_id(), type="report")
    second = run("report", {"report_type": "daily_summary"}, job)
    assert second["since"] == first["generated_at"]
    assert second["totals"]["completed"] == 2
    # A second attempt of the same job tells the same, not what came since its first.
    assert run("report", {"report_type": "daily_summary"}, job)["totals"] == second["totals"]


def test_a_summary_that_can_not_be_read_counts_as_none(run: Any, queues: Server, files_folder: Path) -> None:
    run("report", {"report_type": "daily_summary"})
    (files_folder / "reports" / "daily_summary.json").write_text("broken")
    assert run("report", {"report_type": "daily_summary"})["since"] is None


def test_refuses_a_report_that_there_is_not(run: Any) -> None:
    with pytest.raises(InvalidJob, match="/payload/report_type"):
        run("report", {"report_type": "weather"})


def test_a_report_is_sent_by_a_job_of_its_own(run: Any, queues: Server, mailbox: Any) -> None:
    seed_completed(queues, 5)
    job = Job(id=new_job_id(), type="report")
    payload = {"report_type": "daily_summary", "mail_to": ["ops@example.com", "Ann <ann@example.com>"]}
    result = run("report", payload, job)
    page = Path(result["path"]).read_text()
    # A repeat of the job sends it no second time.
    assert run("report", payload, job)["mail_job_id"] == result["mail_job_id"]
    with Client(settings=Settings.from_env()) as client:
        (found,) = client.jobs(job_type="email", status="pending").jobs
        assert found.job_id == result["mail_job_id"]
    sent = run("email", msgspec.json.decode(found.payload))
    assert sent["recipients"] == ["ops@example.com", "ann@example.com"]
    message = mailbox.only_message()
    assert message["Subject"].startswith("Gopher: Daily summary, 20")
    text, attached = message.get_body(("plain",)), list(message.iter_attachments())
    assert "5 completed" in text.get_content()
    assert [(part.get_filename(), part.get_content_type()) for part in attached] == [
        ("daily_summary.html", "text/html")
    ]
    assert attached[0].get_content() == page


@pytest.mark.parametrize("mail_to", ["", [], "no\nline", 7])
def test_an_address_that_is_none_is_refused_at_once(run: Any, mail_to: Any) -> None:
    with pytest.raises((InvalidJob, Discard), match="mail_to|address|To"):
        run("report", {"report_type": "workers", "mail_to": mail_to})

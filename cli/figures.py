"""`stats` and `workers`: statistics of queues, and the live workers."""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gopher.base.counters import OUTCOMES
from gopher.base.priorities import PRIORITIES
from gopher.base.states import COUNTED, TIMED
from gopher.errors import ServerError
from gopher.interface import Gopher
from gopher.jobs.models import ChildView, WorkerView
from gopher.jobs.stats import Stats
from gopher.reads.advice import NO_WORKERS, pause_notes

from .common import DURATION, client, common, known_types, looking_client
from .hints import doubt
from .output import Cell, Output, draws, fitting, plain_table, rich_table, seconds, shown
from .type_figures import show_type

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Columns that a narrow terminal does without, the first one first.
_LESS_NEEDED = ("oldest", "enqueued", *reversed(TIMED), "completed")
_COLUMNS = ("queue", *PRIORITIES, *COUNTED, "oldest", "enqueued", "completed", "per s")


@click.command()
@click.argument("job_type", required=False, shell_complete=known_types)
@click.option("--window", type=DURATION, default="1h", metavar="DURATION", help="Time span of a type's figures.")
@click.option("--watch", is_flag=True, help="Refresh every second until Ctrl-C.")
@click.option("--interval", type=DURATION, default=1.0, metavar="DURATION", help="Refresh interval of --watch.")
@common
def stats(out: Output, job_type: str | None, window: float, watch: bool, interval: float) -> None:
    """Show statistics of all queues: waiting jobs by priority, and jobs by state. Or those of a job type."""
    with looking_client() as gopher:
        if job_type is not None:
            show_type(out, found := gopher.type_stats(job_type, window))
            if not any(found.totals.values()):
                doubt(out, gopher, job_type=job_type)
        elif watch:
            _watch(gopher, out, max(interval, 0.1))
        elif not out.data(figures := gopher.stats()):
            out.table(
                _COLUMNS[:-1], [row[:-1] for row in _rows(figures)], empty="no queues yet", less_needed=_LESS_NEEDED
            )
            out.note(_summary(figures))
            for note in pause_notes(figures.paused_queues, figures.paused_types):
                out.note(note)


def _watch(gopher: Gopher, out: Output, interval: float) -> None:
    try:
        if draws(sys.stdout) and not out.as_json:
            _redraw(gopher, interval)
        else:
            _print_again(gopher, out, interval)
    except KeyboardInterrupt:
        pass


def _redraw(gopher: Gopher, interval: float) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for figures, before, since, problem in _looks(gopher, interval):
            live.update(_drawn(figures, before, since, problem), refresh=True)


def _print_again(gopher: Gopher, out: Output, interval: float) -> None:
    for figures, before, since, problem in _looks(gopher, interval):
        if problem:
            out.note(problem)
        elif not out.data(figures):
            click.echo(plain_table(_COLUMNS, _texts(figures, before, since)) + "\n")


def _looks(gopher: Gopher, interval: float) -> Iterator[tuple[Stats, Stats, float, str]]:
    """Yield the statistics, the previous ones, the seconds between, and the error if there are no new ones.

    It continues while the server is temporarily unavailable, unless it was so from the start.
    """
    figures = before = gopher.stats()
    looked, since, problem = time.monotonic(), interval, ""
    while True:
        yield figures, before, since, problem
        time.sleep(interval)
        try:
            before, figures = figures, gopher.stats()
            since, looked, problem = time.monotonic() - looked, time.monotonic(), ""
        except ServerError as error:
            problem = str(error)


def _drawn(figures: Stats, before: Stats, since: float, problem: str) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    # Lines that are redrawn in place must not wrap.
    width = shutil.get_terminal_size().columns
    table = rich_table(*fitting(_COLUMNS, _texts(figures, before, since), width, _LESS_NEEDED))
    below = Text(problem, style="red") if problem else Text(_summary(figures), style="dim", no_wrap=True)
    return Group(table, below)


def _texts(figures: Stats, before: Stats, interval: float) -> list[list[str]]:
    return [[shown(cell) for cell in row] for row in _rows(figures, before, interval)]


def _rows(figures: Stats, before: Stats | None = None, interval: float = 1.0) -> Iterable[list[Cell]]:
    for name, queue in figures.queues.items():
        done = queue.totals["completed"]
        earlier = before.queues.get(name) if before else None
        yield [
            name,
            *(queue.priorities[priority].waiting for priority in PRIORITIES),
            *(getattr(queue, state) for state in COUNTED),
            seconds(queue.oldest_waiting_age) if queue.waiting else None,
            queue.total_enqueued,
            done,
            (done - (earlier.totals["completed"] if earlier else done)) / interval,
        ]


def _summary(figures: Stats) -> str:
    totals = {event: sum(queue.totals[event] for queue in figures.queues.values()) for event in OUTCOMES}
    counts = ", ".join(f"{count:,} {event}" for event, count in totals.items())
    paused = ", ".join([*figures.paused_queues, *(f"type {name}" for name in figures.paused_types)])
    held = sum(queue.throttled_keys for queue in figures.queues.values())
    start = f"{figures.queue_size:,} waiting, {figures.total_enqueued:,} enqueued so far: {counts}"
    throttled = f"; limit keys throttled: {held:,} (`gopherctl limits`)" if held else ""
    return f"{start}{f'; paused: {paused}' if paused else ''}{throttled}"


@click.command()
@common
def workers(out: Output) -> None:
    """List the live workers and what their children are running."""
    with client() as gopher:
        found = gopher.workers()
    if out.data({"workers": found}):
        return
    columns = ("worker", "host", "pid", "queues", "state", "busy", "jobs done", "memory", "up")
    less_needed = ("host", "pid", "memory", "jobs done", "state")
    out.table(columns, map(_worker_row, found), empty=NO_WORKERS, less_needed=less_needed)
    out.corrupt((worker.id, worker.corrupt) for worker in found)
    running = [
        (child.job_id, child.job_type, worker.id, str(child.pid), _running_for(child))
        for worker in found
        for child in worker.children
        if child.job_id
    ]
    if running:
        out.line("")
        out.table(("job", "type", "worker", "child", "for"), running, empty="", less_needed=("worker",))


def _worker_row(worker: WorkerView) -> list[Cell]:
    busy = sum(child.job_id is not None for child in worker.children)
    return [
        worker.id,
        worker.host,
        str(worker.pid),
        ",".join(worker.queues),
        worker.state,
        f"{busy}/{len(worker.children)}",
        worker.jobs_done,
        _memory(worker),
        _since(worker.started_at),
    ]


def _running_for(child: ChildView) -> str:
    frozen = f", frozen for {_since(child.frozen_since)}" if child.frozen_since else ""
    return _since(child.running_since) + frozen


def _memory(worker: WorkerView) -> str:
    """Return what a worker uses, and of how much."""
    used, admission = worker.memory / 2**20, worker.admission
    if admission is None:
        return f"{used:.0f} MiB"
    held = f" ({len(admission.held)} held)" if admission.held else ""
    return f"{used:.0f}/{admission.limit / 2**20:.0f} MiB{held}"


def _since(time_: str | None) -> str:
    if time_ is None:
        return "-"
    return seconds(max((datetime.now(UTC) - datetime.fromisoformat(time_)).total_seconds(), 0.0))

"""`wait`: shows a job's progress until it has finished."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import msgspec

from gopher.base.pauses import looks
from gopher.base.states import ENDED, RUNNING, SUCCEEDED
from gopher.interface import Gopher
from gopher.jobs.models import JobView

from .common import DURATION, common, looking_client
from .hints import missing
from .jobs import show_job
from .output import Output, draws, one_line, printable, seconds

#: A job that still waits after this many seconds may be waiting for a process that is not running.
_HINT_AFTER = 1.0

Watch = Callable[[JobView], None]


class _Progress(msgspec.Struct):
    fraction: float = 0.0
    message: str = ""


@click.command()
@click.argument("job_id")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Give up after this time.")
@common
def wait(out: Output, job_id: str, timeout: float | None) -> int:
    """Wait for a job to finish and show it. Exits 0 only if it completed."""
    with looking_client() as gopher:
        return finish(gopher, job_id, float("inf") if timeout is None else timeout, out)


def finish(gopher: Gopher, job_id: str, timeout: float, out: Output) -> int:
    """Show a job's progress until it finishes or `timeout` seconds have passed, then the job. Return the exit code."""
    with _watching() as watch:
        view = _follow(gopher, job_id, timeout, watch, out)
    show_job(out, view)
    if view.status not in ENDED:
        out.note(
            f"{job_id} is still {view.status} after {seconds(timeout)}: keep waiting with `gopherctl wait {job_id}`"
        )
    return 0 if view.status in SUCCEEDED else 1


def _follow(gopher: Gopher, job_id: str, timeout: float, watch: Watch, out: Output) -> JobView:
    start, pauses, hinted = time.monotonic(), looks(), False
    while True:
        view = gopher.job(job_id)
        watch(view)
        waited = time.monotonic() - start
        if view.status in ENDED or waited >= timeout:
            return view
        if waited > _HINT_AFTER and not hinted and view.status not in RUNNING:
            hinted = True
            for hint in missing(gopher, view.type, view.queue, view.status):
                out.note(hint)
        time.sleep(min(next(pauses), timeout - waited))


def progress_of(view: JobView) -> tuple[float, str]:
    """Return a job's progress, 0 to 1, and its message."""
    if view.progress is None:
        return (1.0 if view.status in SUCCEEDED else 0.0), ""
    progress = msgspec.json.decode(view.progress, type=_Progress)
    return progress.fraction, progress.message


@contextmanager
def _watching() -> Iterator[Watch]:
    """Yield a function that shows a job's state on stderr: a bar on a terminal, otherwise a line per change."""
    if not draws(sys.stderr):
        yield _line_for_each_change()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[message]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, message="")

        def watch(view: JobView) -> None:
            fraction, message = progress_of(view)
            text = printable(one_line(message, 40)).replace("[", r"\[")
            bar.update(task, description=f"{view.type} {view.status}", completed=fraction, message=text)

        yield watch


def _line_for_each_change() -> Watch:
    last = ""

    def watch(view: JobView) -> None:
        nonlocal last
        fraction, message = progress_of(view)
        text = f"{view.status} {fraction:.0%} {one_line(message)}".rstrip() if view.progress else view.status
        if text != last:
            click.echo(printable(text), err=True)
            last = text

    return watch

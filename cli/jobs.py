"""`job`, `jobs`, `cancel`, `logs`: show, list and cancel jobs."""

from typing import Any

import click
import msgspec

from gopher.base.sizes import format_size
from gopher.base.states import RUNNING
from gopher.interface import Gopher
from gopher.jobs.acting import CancelFilter
from gopher.jobs.attempts import HistoryRow
from gopher.jobs.lists import JobFilter
from gopher.jobs.models import JobView, Page

from .acting import cancel_matching
from .common import ROWS, client, common, looking_client
from .derived import options
from .hints import doubt
from .output import Output, one_line, seconds, when

#: Maximum number of pages without jobs that are read.
_PAGES = 100
_COLUMNS = ("job", "type", "status", "queue", "priority", "attempts", "created (UTC)", "duration")


@click.command()
@click.argument("job_id")
@common
def job(out: Output, job_id: str) -> None:
    """Show a job with its state, payload, result or error, and attempts."""
    with looking_client() as gopher:
        show_job(out, gopher.job(job_id))


@click.command()
@options(JobFilter, limit=ROWS)
@common
def jobs(out: Output, limit: int, cursor: str | None, **filters: Any) -> None:
    """List jobs, newest first."""
    with looking_client() as gopher:
        page = _first_page(gopher, limit=limit, cursor=cursor, **filters)
        if not page.jobs:
            doubt(out, gopher, job_type=filters["job_type"], queue=filters["queue"])
    if out.data(page):
        return
    rows = [
        (
            view.job_id,
            view.type,
            view.status,
            view.queue,
            view.priority,
            view.describe_attempts("/"),
            when(view.created_at),
            seconds(view.duration),
        )
        for view in page.jobs
    ]
    empty = "no matching jobs" if any(filters.values()) else "no jobs"
    if page.next_cursor:
        empty += " so far"
    out.table(_COLUMNS, rows, empty=empty, less_needed=("priority", "attempts", "queue", "created (UTC)", "duration"))
    out.corrupt((view.job_id, view.corrupt or ()) for view in page.jobs)
    if page.next_cursor:
        out.note(f"next page: --cursor {page.next_cursor}")


def _first_page(gopher: Gopher, cursor: str | None, **asked: Any) -> Page:
    """Return the first page with jobs: each reads a limited number of them, and few may match."""
    for _ in range(_PAGES):
        page = gopher.jobs(cursor=cursor, **asked)
        cursor = page.next_cursor
        if page.jobs or cursor is None:
            break
    return page


@click.command()
@click.argument("job_id", required=False)
@options(CancelFilter)
@click.option("-y", "--yes", is_flag=True, help="Skip confirmation.")
@common
def cancel(out: Output, job_id: str | None, yes: bool, **filters: Any) -> None:
    """Cancel a job, or all jobs that match filters.

    A waiting job is cancelled immediately; a running job is stopped. The scheduler cancels many jobs step by step: see
    `gopherctl cancellations` for progress.

    \b
    gopherctl cancel 01a20d1c-ddd6-7e46-9daa-2af634a7f173
    gopherctl cancel --type email --status pending --dry-run
    """
    given = any(filters.values())
    if given == (job_id is not None):
        raise click.UsageError("give either the id of a job, or at least one filter.")
    if job_id is None:
        cancel_matching(out, CancelFilter(**filters), yes=yes)
        return
    with client() as gopher:
        status = gopher.cancel(job_id)
    if not out.data({"job_id": job_id, "status": status}):
        out.line(
            "cancelled" if status not in RUNNING else f"stopping; `gopherctl wait {job_id}` waits until it has stopped"
        )


@click.command()
@click.argument("job_id")
@common
def logs(out: Output, job_id: str) -> None:
    """Show the log and output of a job's attempts."""
    with client() as gopher:
        lines = gopher.logs(job_id)
    if out.data({"job_id": job_id, "logs": lines}):
        return
    for line in lines:
        out.line(f"{line.attempt}  {line.time[11:23]}  {line.line}")
    if not lines:
        out.note("no output")


def show_job(out: Output, view: JobView) -> None:
    """Print all details of a job."""
    if out.data(view):
        return
    error = _decoded(view.error) or {}
    cpu, memory = _used(view)
    out.fields(
        [
            ("job", view.job_id),
            ("type", view.type),
            ("status", str(view.status)),
            ("queue", view.queue),
            ("priority", view.priority),
            ("owner", view.owner),
            ("copy of", view.copied_from or None),
            ("copies", ", ".join(view.copies or ())),
            ("attempts", view.describe_attempts()),
            ("created", view.created_at),
            ("due", view.execute_at),
            ("waited for memory", _memory_wait(view)),
            ("started", view.started_at),
            ("finished", view.finished_at),
            ("duration", seconds(view.duration) if view.duration is not None else None),
            ("cpu time", cpu),
            ("peak memory", memory),
            ("worker", view.worker),
            ("progress", _progress(view) if view.status in RUNNING else None),
            ("payload", bytes(view.payload).decode()),
            ("metadata", _unless_empty(view.metadata)),
            ("tags", ", ".join(view.tags)),
            ("uploads", ", ".join(f"{name}: {file.name}" for name, file in (view.files or {}).items())),
            ("result", _unless_empty(view.result)),
            ("error", f"{error.get('type')}: {error.get('message')}" if error else None),
            ("traceback", str(error.get("traceback") or "").rstrip()),
            # Fields shown above whose values are only substitutes.
            ("corrupt", ", ".join(view.corrupt or ())),
        ]
    )
    if view.attempts > 1:
        _show_attempts(out, view)


def _memory_wait(view: JobView) -> str | None:
    """Return for how much memory a job waits in its worker, or has waited."""
    if not (wait := view.memory_wait):
        return None
    return f"{format_size(wait.needs)}, from {wait.since}" + (f" to {wait.until}" if wait.until else "")


def _used(view: JobView) -> tuple[str | None, str | None]:
    """Return the CPU time and the peak of memory of the last attempt for display; None if they are not known."""
    if not view.history:
        return None, None
    last = view.history[-1]
    memory = None if last.peak_memory is None else format_size(last.peak_memory)
    if last.cpu_user is None or last.cpu_system is None:
        return None, memory
    whole = last.cpu_user + last.cpu_system
    return f"{seconds(whole)} ({seconds(last.cpu_user)} user, {seconds(last.cpu_system)} system)", memory


def _show_attempts(out: Output, view: JobView) -> None:
    rows = [
        (
            row.attempt,
            f"{row.outcome}, frozen" if row.frozen_since else row.outcome,
            when(row.started_at),
            when(row.ended_at),
            _duration(row),
            None if row.cpu_user is None else seconds(row.cpu_user + (row.cpu_system or 0.0)),
            None if row.peak_memory is None else format_size(row.peak_memory),
            one_line(_message(row)),
        )
        for row in view.history
    ]
    out.line("")
    columns = ("attempt", "outcome", "started (UTC)", "ended", "duration", "cpu", "memory", "error")
    out.table(columns, rows, empty="", less_needed=("ended", "memory", "cpu", "duration"))


def _duration(row: HistoryRow) -> str | None:
    """Return how long an attempt has taken, and was frozen: `2 s, frozen 12.3 s`."""
    known = [] if row.duration is None else [seconds(row.duration)]
    return ", ".join([*known, f"frozen {seconds(row.frozen)}"] if row.frozen else known) or None


def _message(row: HistoryRow) -> str:
    return str((row.error or {}).get("message", ""))


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _unless_empty(raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode()
    return None if text in ("null", "{}") else text


def _progress(view: JobView) -> str | None:
    progress = _decoded(view.progress)
    return f"{progress['fraction']:.0%} {progress.get('message', '')}".rstrip() if progress else None

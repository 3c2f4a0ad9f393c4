"""`job`, `jobs`, `cancel`, `logs`: show, list and cancel jobs."""

from typing import Any

import click
import msgspec

from gopher.base.states import RUNNING
from gopher.jobs.filters import JobFilter
from gopher.jobs.models import HistoryRow, JobView

from .common import ROWS, client, common, looking_client
from .derived import options
from .output import Output, one_line, seconds, when

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
        page = gopher.jobs(limit=limit, cursor=cursor, **filters)
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
    out.table(_COLUMNS, rows, empty="no matching jobs" if any(filters.values()) else "no jobs")
    out.corrupt((view.job_id, view.corrupt or ()) for view in page.jobs)
    if page.next_cursor:
        out.note(f"next page: --cursor {page.next_cursor}")


@click.command()
@click.argument("job_id")
@common
def cancel(out: Output, job_id: str) -> None:
    """Cancel a job: a waiting job immediately; the process of a running job is stopped."""
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
    out.fields(
        [
            ("job", view.job_id),
            ("type", view.type),
            ("status", str(view.status)),
            ("queue", view.queue),
            ("priority", view.priority),
            ("owner", view.owner),
            ("attempts", view.describe_attempts()),
            ("created", view.created_at),
            ("due", view.execute_at),
            ("started", view.started_at),
            ("finished", view.finished_at),
            ("duration", seconds(view.duration) if view.duration is not None else None),
            ("worker", view.worker),
            ("progress", _progress(view) if view.status in RUNNING else None),
            ("payload", bytes(view.payload).decode()),
            ("metadata", _unless_empty(view.metadata)),
            ("result", _unless_empty(view.result)),
            ("error", f"{error.get('type')}: {error.get('message')}" if error else None),
            ("traceback", str(error.get("traceback") or "").rstrip()),
            # Fields shown above whose values are only substitutes.
            ("corrupt", ", ".join(view.corrupt or ())),
        ]
    )
    if view.attempts > 1:
        _show_attempts(out, view)


def _show_attempts(out: Output, view: JobView) -> None:
    rows = [
        (row.attempt, row.outcome, when(row.started_at), when(row.ended_at), one_line(_message(row)))
        for row in view.history
    ]
    out.line("")
    out.table(("attempt", "outcome", "started (UTC)", "ended", "error"), rows, empty="")


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

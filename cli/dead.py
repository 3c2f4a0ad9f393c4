"""Dead letters (`list-failed`, `retry`, `retry-all`, `discard`) and `purge`."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from gopher.admin.redrives import MAX_CANARY
from gopher.base.states import DEAD, PURGEABLE, QUEUED, State
from gopher.errors import GopherError, JobConflict, JobNotFound
from gopher.interface import Gopher
from gopher.jobs.models import JobView
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER
from gopher.reads.listing import MAX_LIMIT

from .common import client, common, looking_client
from .output import Output, one_line, when

#: What `purge -q` takes, and the state it means.
_PURGEABLE = {"main" if state in QUEUED else state.value: state for state in PURGEABLE}

_ids = click.option("-i", "--id", "job_ids", required=True, multiple=True, metavar="ID", help="Whose; may be repeated.")
_type = click.option("--type", "job_type", metavar="TYPE", help="Only of this type.")
_error = click.option("--error", metavar="CLASS", help="Only of this class of error, such as ValueError.")
_group = click.option("--group", metavar="GROUP", help="Only of this group: list-failed --groups shows them.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command("list-failed")
@_type
@_error
@_group
@click.option("--queue", help="Only of this queue.")
@click.option("--groups", is_flag=True, help="Count them by type, class of error and place, the most first.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=20, show_default=True, help="How many to show.")
@click.option("--cursor", help="Go on where the last page ended.")
@common
def list_failed(
    out: Output,
    job_type: str | None,
    error: str | None,
    group: str | None,
    queue: str | None,
    groups: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """List the dead letters: jobs that failed for good, newest first."""
    if groups:
        if job_type or error or group or cursor:
            raise click.UsageError("--groups goes with --queue and --limit only.")
        _list_groups(out, queue, limit)
        return
    with looking_client() as gopher:
        page = gopher.dead_letters.page(
            job_type=job_type, error=error, group=group, queue=queue, limit=limit, cursor=cursor
        )
    if out.data(page):
        return
    columns = ("job", "type", "queue", "attempts", "failed (UTC)", "error")
    out.table(columns, map(_row, page.jobs), empty="no dead letters")
    out.corrupt((view.job_id, view.corrupt or ()) for view in page.jobs)
    if page.next_cursor:
        out.note(f"{len(page.jobs)} of {page.total_count:,}; more: --cursor {page.next_cursor}")


def _list_groups(out: Output, queue: str | None, limit: int) -> None:
    with looking_client() as gopher:
        page = gopher.dead_letters.groups(queue, limit)
    if out.data(page):
        return
    columns = ("group", "jobs", "type", "error", "place", "first (UTC)", "last (UTC)")
    rows = [
        (view.group, view.count, view.type, view.error, view.place, when(view.first_seen), when(view.last_seen))
        for view in page.groups
    ]
    out.table(columns, rows, empty="no dead letters")
    out.corrupt((view.group, view.corrupt) for view in page.groups)
    if len(page.groups) < page.total_count:
        out.note(f"{len(page.groups)} of {page.total_count:,} groups; more: --limit")


def _row(view: JobView) -> tuple[str | int, ...]:
    error = msgspec.json.decode(view.error) if view.error else {}
    problem = one_line(f"{error.get('type', '?')}: {error.get('message', '')}", 80)
    return (view.job_id, view.type, view.queue, view.attempts, when(view.finished_at), problem)


@click.command()
@_ids
@common
def retry(out: Output, job_ids: tuple[str, ...]) -> int:
    """Give dead letters fresh attempts. They keep their ids and histories."""
    with client() as gopher:
        done = _each(out, job_ids, gopher.dead_letters.retry)
    if not out.data({"count": len(done), "jobs": done}):
        for job_id in done:
            out.line(f"{job_id} is pending again")
    return 0 if len(done) == len(job_ids) else 1


@click.command("retry-all")
@_type
@_error
@_group
@click.option("--queue", help="Only of this queue.")
@click.option("--limit", type=click.IntRange(1, 10**9), help="Maximum number of dead letters.")
@click.option("--canary", type=click.IntRange(1, MAX_CANARY), metavar="N", help="So many first, then the rest.")
@click.option("--rate", metavar="RATE", help="Not faster than, e.g., 5/s.")
@common
def retry_all(
    out: Output,
    job_type: str | None,
    error: str | None,
    group: str | None,
    queue: str | None,
    limit: int | None,
    canary: int | None,
    rate: str | None,
) -> None:
    """Give all dead letters, or those that fit the filters, fresh attempts.

    With --canary or --rate the scheduler goes on with it by itself: `gopherctl retries` shows how far it is.
    """
    if canary or rate:
        _retry_gradually(out, canary or 0, rate, job_type=job_type, error=error, group=group, queue=queue, limit=limit)
        return
    with client() as gopher:
        count = gopher.dead_letters.retry_all(job_type=job_type, error=error, group=group, limit=limit, queue=queue)
    if not out.data({"count": count}):
        out.line(f"{_jobs(count)} pending again" if count else "no dead letters of this kind")


def _retry_gradually(out: Output, canary: int, rate: str | None, **which: Any) -> None:
    with client() as gopher:
        started = gopher.dead_letters.retry_gradually(canary=canary, rate=rate, **which)
        missing = bool(started.total) and gopher.health().scheduler == "missing"
    if missing:
        out.note(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    if out.data({"count": started.total, "retry_id": started.retry_id or None}):
        return
    if not started.total:
        out.line("no dead letters of this kind")
        return
    out.line(f"{_jobs(started.total)} will be retried; gopherctl retries shows how far it is")
    out.line(f"to stop it: gopherctl retries stop {started.retry_id}")


@click.group(invoke_without_command=True)
@common
def retries(out: Output) -> None:
    """Show and stop what is retried by and by (retry-all --canary, --rate)."""
    if click.get_current_context().invoked_subcommand is None:
        _list_retries(out)


@retries.command("list")
@common
def list_retries(out: Output) -> None:
    """List what is retried by and by, and for a day what was."""
    _list_retries(out)


def _list_retries(out: Output) -> None:
    with client() as gopher:
        views = gopher.dead_letters.retries()
    if out.data({"retries": views}):
        return
    columns = ("retry", "queue", "status", "retried", "of", "first", "rate", "started (UTC)", "reason")
    rows = [
        (
            view.retry_id, view.queue, view.status, view.retried, view.total, view.canary, view.rate,
            when(view.started_at), view.reason,
        )
        for view in views
    ]  # fmt: skip
    out.table(columns, rows, empty="nothing is retried by and by: gopherctl retry-all --canary N --rate 5/s")
    out.corrupt((view.retry_id, view.corrupt) for view in views)


@retries.command("stop")
@click.argument("retry_id", metavar="RETRY")
@common
def stop_retry(out: Output, retry_id: str) -> int:
    """Retry no more of them. Those that were retried go on."""
    with client() as gopher:
        stopped = gopher.dead_letters.stop_retry(retry_id)
    if not out.data({"retry_id": retry_id, "stopped": stopped}):
        out.line(f"{retry_id} is stopped" if stopped else f"{retry_id} was over already")
    return 0 if stopped else 1


@click.command()
@_ids
@_yes
@common
def discard(out: Output, job_ids: tuple[str, ...], yes: bool) -> int:
    """Delete dead letters for good."""
    out.confirm(f"Delete {_jobs(len(job_ids))} for good?", yes)
    with client() as gopher:
        done = _each(out, job_ids, gopher.dead_letters.discard)
    if not out.data({"count": len(done), "jobs": done}):
        for job_id in done:
            out.line(f"{job_id} is deleted")
    return 0 if len(done) == len(job_ids) else 1


@click.command()
@click.option(
    "-q", "--queue-state", "place", required=True, type=click.Choice(list(_PURGEABLE)), help="Which: main is pending."
)
@click.option("--queue", default="default", show_default=True, help="Of which queue.")
@_type
@_error
@_group
@_yes
@common
def purge(
    out: Output,
    place: str,
    queue: str,
    job_type: str | None,
    error: str | None,
    group: str | None,
    yes: bool,
) -> None:
    """Delete all jobs of a queue that wait in one state, and say how many they were.

    --type, --error and --group go with `-q failed` only.
    """
    state = _PURGEABLE[place]
    chosen = bool(job_type or error or group)
    if chosen and state not in DEAD:
        raise click.UsageError("--type, --error and --group go with -q failed only.")
    with client() as gopher:
        waiting = _waiting(gopher, queue, state)
        if chosen:
            waiting = gopher.dead_letters.count(job_type, error, group, queue)
        out.confirm(f"Delete {_jobs(waiting, state)} of queue {queue!r} for good?", yes)
        if chosen:
            count = gopher.dead_letters.discard_all(job_type, error, None, queue, group)
        else:
            count = gopher.purge(queue, state, out.progress("deleted"))
    if not out.data({"queue": queue, "state": str(state), "count": count}):
        out.line(f"{_jobs(count)} deleted")


def _waiting(gopher: Gopher, queue: str, state: State) -> int:
    queues = gopher.stats().queues
    if queue not in queues:
        raise _NoQueue(f"there is no queue {queue!r}; queues: {', '.join(queues) or 'none yet'}")
    stats = queues[queue]
    waiting: int = stats.waiting if state in QUEUED else getattr(stats, state)
    return waiting


class _NoQueue(GopherError):
    """Raised when no job was ever put into a queue of that name."""


def _each(out: Output, job_ids: tuple[str, ...], act: Callable[[str], object]) -> list[str]:
    """Act on each job; say which are no dead letters (any more), and return those that were."""
    done = []
    for job_id in dict.fromkeys(job_ids):
        try:
            act(job_id)
            done.append(job_id)
        except (JobNotFound, JobConflict) as error:
            out.note(f"{job_id}: {error}")
    return done


def _jobs(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{' ' if kind else ''}job" + ("" if count == 1 else "s")

"""Dead letters (`list-failed`, `retry`, `retry-all`, `discard`) and `purge`."""

from collections.abc import Callable
from typing import Any

import click
import msgspec

from gopher.base.names import canonical_id
from gopher.base.states import DEAD, PURGEABLE, QUEUED, State
from gopher.errors import GopherError, JobConflict, JobNotFound
from gopher.interface import Gopher
from gopher.jobs.filters import DeadFilter, DeadListing, GroupFilter, RetryAll
from gopher.jobs.models import JobView
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER

from .common import ROWS, client, common, looking_client
from .derived import options
from .hints import doubt
from .options import names_of
from .output import Output, one_line, when

#: Values of `purge -q`, and the states they mean.
_PURGEABLE = {"main" if state in QUEUED else state.value: state for state in PURGEABLE}

_ids = click.option(
    "-i", "--id", "job_ids", required=True, multiple=True, metavar="ID", help="Job id; may be repeated."
)
_yes = click.option("-y", "--yes", is_flag=True, help="Skip confirmation.")


@click.command("list-failed")
@options(DeadListing, limit=ROWS)
@click.option(
    "--groups",
    is_flag=True,
    help="Count by type, error class and place in the code, largest groups first.",
)
@common
def list_failed(out: Output, groups: bool, **asked: Any) -> None:
    """List dead letters (permanently failed jobs), newest first."""
    if groups:
        chosen = {name: asked.pop(name) for name in GroupFilter.__struct_fields__}
        if any(asked.values()):
            raise click.UsageError("--groups can be combined with --queue, --tenant and --limit only.")
        _list_groups(out, **chosen)
        return
    with looking_client() as gopher:
        page = gopher.dead_letters.page(**asked)
        if not page.jobs:
            doubt(out, gopher, job_type=asked["job_type"], queue=asked["queue"])
    if out.data(page):
        return
    columns = ("job", "type", "queue", "attempts", "failed (UTC)", "error")
    out.table(columns, map(_row, page.jobs), empty="no dead letters", less_needed=("queue", "attempts", "failed (UTC)"))
    out.corrupt((view.job_id, view.corrupt or ()) for view in page.jobs)
    if page.next_cursor:
        out.note(f"{len(page.jobs)} of {page.total_count:,}; next page: --cursor {page.next_cursor}")


def _list_groups(out: Output, **asked: Any) -> None:
    with looking_client() as gopher:
        page = gopher.dead_letters.groups(**asked)
    if out.data(page):
        return
    columns = ("group", "jobs", "type", "error", "location", "first seen (UTC)", "last seen (UTC)")
    rows = [
        (view.group, view.count, view.type, view.error, view.place, when(view.first_seen), when(view.last_seen))
        for view in page.groups
    ]
    less_needed = ("first seen (UTC)", "last seen (UTC)", "error")
    out.table(columns, rows, empty="no dead letters", less_needed=less_needed)
    out.corrupt((view.group, view.corrupt) for view in page.groups)
    if len(page.groups) < page.total_count:
        out.note(f"{len(page.groups)} of {page.total_count:,} groups; show more with --limit")


def _row(view: JobView) -> tuple[str | int, ...]:
    error = msgspec.json.decode(view.error) if view.error else {}
    problem = one_line(f"{error.get('type', '?')}: {error.get('message', '')}", 80)
    return (view.job_id, view.type, view.queue, view.describe_attempts("/"), when(view.finished_at), problem)


@click.command()
@_ids
@common
def retry(out: Output, job_ids: tuple[str, ...]) -> int:
    """Retry dead letters. They keep their ids and histories, and their attempts start from zero."""
    with client() as gopher:
        done = _each(out, job_ids, gopher.dead_letters.retry)
    if not out.data({"count": len(done), "jobs": done}):
        for job_id in done:
            out.line(f"{job_id} is pending again")
    return 0 if len(done) == len(job_ids) else 1


@click.command("retry-all")
@options(RetryAll)
@common
def retry_all(out: Output, canary: int | None, rate: str | None, **which: Any) -> None:
    """Retry all dead letters, or those that match the filters.

    With --canary or --rate the scheduler redrives them gradually: see `gopherctl redrives` for progress.
    """
    if canary or rate:
        _retry_gradually(out, canary=canary, rate=rate, **which)
        return
    with looking_client() as gopher:
        count = gopher.dead_letters.retry_all(**which)
        if not count:
            doubt(out, gopher, job_type=which["job_type"], queue=which["queue"])
    if not out.data({"count": count}):
        out.line(f"{_jobs(count)} pending again" if count else "no matching dead letters")


def _retry_gradually(out: Output, **which: Any) -> None:
    with looking_client() as gopher:
        started = gopher.dead_letters.retry_gradually(**which)
        if not started.total:
            doubt(out, gopher, job_type=which["job_type"], queue=which["queue"])
        missing = bool(started.total) and gopher.health().scheduler == "missing"
    if missing:
        out.note(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    redrive_id = started.redrive_id or None
    if out.data({"count": started.total, "redrive_id": redrive_id, "retry_id": redrive_id}):
        return
    if not started.total:
        out.line("no matching dead letters")
        return
    out.line(f"{_jobs(started.total)} will be retried; see progress with `gopherctl redrives`")
    out.line(f"stop it with `gopherctl redrives stop {started.redrive_id}`")


@click.command()
@_ids
@_yes
@common
def discard(out: Output, job_ids: tuple[str, ...], yes: bool) -> int:
    """Delete dead letters permanently."""
    out.confirm(f"Permanently delete {_jobs(len(job_ids))}?", yes)
    with client() as gopher:
        done = _each(out, job_ids, gopher.dead_letters.discard)
    if not out.data({"count": len(done), "jobs": done}):
        for job_id in done:
            out.line(f"{job_id} is deleted")
    return 0 if len(done) == len(job_ids) else 1


@click.command()
@click.option(
    "-q",
    "--queue-state",
    "place",
    required=True,
    type=click.Choice(list(_PURGEABLE)),
    help="State of the jobs to delete; main is pending.",
)
@options(DeadFilter, queue="default")
@_yes
@common
def purge(out: Output, place: str, queue: str, yes: bool, **which: Any) -> None:
    """Delete all jobs of a queue in a given state.

    All filters but --queue require `-q failed`.
    """
    state = _PURGEABLE[place]
    chosen = any(which.values())
    if chosen and state not in DEAD:
        *others, last = (names_of(name)[-1] for name in DeadFilter.__struct_encode_fields__ if name != "queue")
        raise click.UsageError(f"{', '.join(others)} and {last} require -q failed.")
    with looking_client() as gopher:
        waiting = _waiting(gopher, queue, state)
        if chosen:
            waiting = gopher.dead_letters.count(queue=queue, **which)
            if not waiting:
                doubt(out, gopher, job_type=which["job_type"])
        out.confirm(f"Permanently delete {_jobs(waiting, state)} of queue {queue!r}?", yes)
        if chosen:
            count = gopher.dead_letters.discard_all(queue=queue, **which)
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
    """Raised when a queue has never had a job."""


def _each(out: Output, job_ids: tuple[str, ...], act: Callable[[str], object]) -> list[str]:
    """Apply a call to each job; report those that aren't dead letters, and return the others."""
    done = []
    for job_id in dict.fromkeys(map(canonical_id, job_ids)):
        try:
            act(job_id)
            done.append(job_id)
        except (JobNotFound, JobConflict) as error:
            out.note(f"{job_id}: {error}")
    return done


def _jobs(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{' ' if kind else ''}job" + ("" if count == 1 else "s")

"""Dead letters (`list-failed`, `retry`, `retry-all`, `discard`) and `purge`."""

from collections.abc import Callable

import click
import msgspec

from gopher.errors import GopherError, JobConflict, JobNotFound
from gopher.job import State
from gopher.views import JobView

from .common import client, common, looking_client
from .output import Output, one_line, when

#: What `purge -q` takes, and the state it means.
_PURGEABLE = {
    "main": State.PENDING,
    "scheduled": State.SCHEDULED,
    "retrying": State.RETRYING,
    "failed": State.FAILED,
}

_ids = click.option("-i", "--id", "job_ids", required=True, multiple=True, metavar="ID", help="Whose; may be repeated.")
_type = click.option("--type", "job_type", metavar="TYPE", help="Only of this type.")
_error = click.option("--error", metavar="CLASS", help="Only of this class of error, such as ValueError.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command("list-failed")
@_type
@_error
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many to show.")
@click.option("--cursor", help="Go on where the last page ended.")
@common
def list_failed(out: Output, job_type: str | None, error: str | None, limit: int, cursor: str | None) -> None:
    """List the dead letters: jobs that failed for good, newest first."""
    with looking_client() as gopher:
        page = gopher.dead_letters.page(job_type=job_type, error=error, limit=limit, cursor=cursor)
    if out.data(page):
        return
    columns = ("job", "type", "queue", "attempts", "failed (UTC)", "error")
    out.table(columns, map(_row, page.jobs), empty="no dead letters")
    if page.next_cursor:
        out.note(f"{len(page.jobs)} of {page.total_count:,}; more: --cursor {page.next_cursor}")


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
@click.option("--queue", help="Only of this queue.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@common
def retry_all(out: Output, job_type: str | None, error: str | None, queue: str | None, limit: int | None) -> None:
    """Give all dead letters, or those that fit the filters, fresh attempts."""
    with client() as gopher:
        count = gopher.dead_letters.retry_all(job_type=job_type, error=error, limit=limit, queue=queue)
    if not out.data({"count": count}):
        out.line(f"{_jobs(count)} pending again" if count else "no dead letters of this kind")


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
@_yes
@common
def purge(out: Output, place: str, queue: str, yes: bool) -> None:
    """Delete all jobs of a queue that wait in one state, and say how many they were."""
    state = _PURGEABLE[place]
    with client() as gopher:
        known = gopher.server.queues()
        if queue not in known:
            raise _NoQueue(f"there is no queue {queue!r}; queues: {', '.join(known) or 'none yet'}")
        stats = gopher.stats().queues[queue]
        waiting = stats.waiting if state == State.PENDING else getattr(stats, state)
        out.confirm(f"Delete {_jobs(waiting, state)} of queue {queue!r} for good?", yes)
        count = gopher.purge(queue, state, out.progress("deleted"))
    if not out.data({"queue": queue, "state": str(state), "count": count}):
        out.line(f"{_jobs(count)} deleted")


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

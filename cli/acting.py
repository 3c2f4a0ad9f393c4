"""`run-now`, `move`, `copy` and `cancellations`: act on jobs that wait."""

from typing import Any

import click
import msgspec

from gopher.jobs.acting import CancelFilter, Copied, Copy, Move
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER

from .common import checking_client, client, common, looking_client
from .derived import options
from .hints import doubt, hint_at_missing
from .json_input import read_json
from .output import Output, when


@click.command("run-now")
@click.argument("job_id")
@common
def run_now(out: Output, job_id: str) -> None:
    """Run a job now that is scheduled, waits for a retry, or is throttled.

    It goes before all others of its priority. A limit or a pause still holds.
    """
    with client() as gopher:
        gopher.waiting.run(job_id)
    if not out.data({"job_id": job_id, "status": "pending"}):
        out.line(f"{job_id} is the next of its priority to start")


@click.command()
@click.argument("job_id")
@options(Move)
@common
def move(out: Output, job_id: str, queue: str | None, priority: str | None) -> None:
    """Move a waiting job to another queue or priority. It keeps its id."""
    if queue is None and priority is None:
        raise click.UsageError("--queue or --priority is required.")
    with client() as gopher:
        moved = gopher.waiting.move(job_id, queue, priority)
        if queue is not None:
            hint_at_missing(out, gopher, moved.job_id)
    if not out.data(moved):
        out.line(f"{moved.job_id} is in queue {moved.queue} with priority {moved.priority}")


@click.command()
@click.argument("job_id")
@options(Copy)
@common
def copy(out: Output, job_id: str, payload: str | None, queue: str | None, priority: str | None) -> None:
    """Submit a copy of a job in any state, and print its id.

    \b
    gopherctl copy 01a20d1c-ddd6-7e46-9daa-2af634a7f173 -p '{"width": 320}'
    """
    changed = None if payload is None else msgspec.Raw(read_json(payload, "-p"))
    with checking_client() as gopher:
        made = gopher.waiting.copy(job_id, changed, queue, priority)
        hint_at_missing(out, gopher, made)
    if not out.data(Copied(made, job_id)):
        out.line(made)


def cancel_matching(out: Output, which: CancelFilter, *, yes: bool) -> None:
    """Start to cancel all jobs that match a filter, or count them."""
    filters = msgspec.structs.asdict(which)
    with looking_client() as gopher:
        doubt(out, gopher, job_type=which.job_type, queue=which.queue)
        if not which.dry_run:
            out.confirm(f"Cancel all {_described(which)}?", yes)
        started = gopher.waiting.cancel_matching(**filters)
        if gopher.health().scheduler == "missing":
            out.note(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    if out.data(started):
        return
    if not started.cancellation_id:
        out.line("there are no queues yet")
        return
    what = "count" if which.dry_run else "cancel"
    out.line(f"{started.to_look_at:,} jobs to look at; see progress with `gopherctl cancellations`")
    out.line(f"stop to {what} with `gopherctl cancellations stop {started.cancellation_id}`")


def _described(which: CancelFilter) -> str:
    words = [str(which.status) if which.status else "waiting", *([which.job_type] if which.job_type else []), "jobs"]
    for name, value in (("of owner", which.owner), ("of tenant", which.tenant), ("in queue", which.queue)):
        if value is not None:
            words += [name, value]
    return " ".join([*words, *(["created before", which.created_before] if which.created_before else [])])


@click.group(invoke_without_command=True)
@common
def cancellations(out: Output) -> None:
    """Show and stop cancellations of many jobs (cancel with filters)."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@cancellations.command("list")
@common
def list_cancellations(out: Output) -> None:
    """List cancellations of many jobs, including those that ended within the last day."""
    _list(out)


def _list(out: Output) -> None:
    with client() as gopher:
        views = gopher.waiting.cancellations()
    if out.data({"cancellations": views}):
        return
    columns = ("cancellation", "queue", "status", "looked at", "cancelled", "type", "state", "started (UTC)", "reason")
    rows: list[tuple[Any, ...]] = [
        (
            view.cancellation_id, view.queue, view.status, view.looked_at,
            f"{view.matched} match" if view.dry_run else view.cancelled + view.stopping,
            view.type, view.state or "waiting", when(view.started_at), view.reason,
        )
        for view in views
    ]  # fmt: skip
    empty = "no cancellations: start one with `gopherctl cancel --type email`"
    out.table(columns, rows, empty=empty, less_needed=("reason", "state", "started (UTC)", "looked at", "queue"))
    out.corrupt((view.cancellation_id, view.corrupt) for view in views)


@cancellations.command("stop")
@click.argument("cancellation_id", metavar="CANCELLATION")
@common
def stop_cancellation(out: Output, cancellation_id: str) -> int:
    """Stop a cancellation. Jobs that have been cancelled already stay cancelled."""
    with client() as gopher:
        stopped = gopher.waiting.stop_cancellation(cancellation_id)
    if not out.data({"cancellation_id": cancellation_id, "stopped": stopped}):
        out.line(f"{cancellation_id} is stopped" if stopped else f"{cancellation_id} had already ended")
    return 0 if stopped else 1

"""How fast jobs start, and whether at all: `limits`, `pause`, `resume`, and `why` for one job."""

import click

from gopher.base.rates import format_rate
from gopher.jobs.filters import LimitRequest

from .common import checking_client, client, common, looking_client
from .derived import options
from .output import Output, seconds


@click.group(invoke_without_command=True)
@common
def limits(out: Output) -> None:
    """Show and set how many jobs of a type start a second and run at once, over all workers."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@limits.command("list")
@common
def list_limits(out: Output) -> None:
    """List the types that are limited, paused or held back."""
    _list(out)


def _list(out: Output) -> None:
    with looking_client() as gopher:
        views = gopher.flow.limits()
    if out.data({"limits": views}):
        return
    columns = ("type", "queue", "rate", "burst", "at once", "running", "state", "set by")
    rows = [
        (
            view.type, view.queue, view.rate, view.burst, view.concurrency, view.running,
            "paused" if view.paused else f"held back for {seconds(view.held_back_for)}" if view.held_back_for else "",
            view.origin,
        )
        for view in views
    ]  # fmt: skip
    out.table(columns, rows, empty="no type is limited: gopherctl limits set TYPE --rate 10/s")
    out.corrupt((view.type, view.corrupt) for view in views)


@limits.command("set")
@click.argument("job_type", metavar="TYPE")
@options(LimitRequest)
@common
def set_limit(out: Output, job_type: str, rate: str | None, burst: float | None, concurrency: int | None) -> None:
    """Limit a type; jobs that wait already count within a second."""
    with client() as gopher:
        limit = gopher.flow.set_limit(job_type, rate, burst, concurrency)
    shown = None if limit.rate is None else format_rate(limit.rate)
    if not out.data({"type": job_type, "rate": shown, "burst": limit.burst, "concurrency": limit.concurrency}):
        words = [
            f"{shown} (burst {limit.burst:g})" if shown else "",
            f"{limit.concurrency} at once" if limit.concurrency else "",
        ]
        out.line(f"{job_type}: {', '.join(word for word in words if word)}")


@limits.command("clear")
@click.argument("job_type", metavar="TYPE")
@common
def clear_limit(out: Output, job_type: str) -> int:
    """Take a limit away; what the handler itself declares counts again."""
    with checking_client() as gopher:
        was_limited = gopher.flow.clear_limit(job_type)
    if not out.data({"type": job_type, "cleared": was_limited}):
        out.line(f"{job_type} is not limited any more" if was_limited else f"{job_type} was not limited")
    return 0 if was_limited else 1


_queue = click.option("--queue", help="The jobs of this queue.")
_type = click.option("--type", "job_type", metavar="TYPE", help="The jobs of this type, in every queue.")


@click.command()
@_queue
@_type
@common
def pause(out: Output, queue: str | None, job_type: str | None) -> None:
    """Give out no more jobs of a queue or of a type; what runs goes on."""
    what, name = _one(queue, job_type)
    with client() as gopher:
        changed = gopher.flow.pause_queue(name) if what == "queue" else gopher.flow.pause_type(name)
    if not out.data({what: name, "paused": True, "changed": changed}):
        out.line(f"{what} {name} is paused" + ("" if changed else " already"))


@click.command()
@_queue
@_type
@common
def resume(out: Output, queue: str | None, job_type: str | None) -> None:
    """Give out the jobs of a queue or of a type again."""
    what, name = _one(queue, job_type)
    with client() as gopher:
        changed = gopher.flow.resume_queue(name) if what == "queue" else gopher.flow.resume_type(name)
    if not out.data({what: name, "paused": False, "changed": changed}):
        out.line(f"{what} {name} goes on" if changed else f"{what} {name} was not paused")


@click.command()
@click.argument("job_id", metavar="ID")
@common
def why(out: Output, job_id: str) -> None:
    """Say why a job isn't running yet, the first obstacle first."""
    with looking_client() as gopher:
        reasons = gopher.why(job_id)
    if not out.data({"job_id": job_id, "reasons": reasons}):
        for reason in reasons:
            until = f" (until {reason.until})" if reason.until and reason.until not in reason.message else ""
            out.line(f"{reason.code}: {reason.message}{until}")


def _one(queue: str | None, job_type: str | None) -> tuple[str, str]:
    if (queue is None) == (job_type is None):
        raise click.UsageError("say which: --queue NAME or --type TYPE.")
    return ("queue", queue) if queue is not None else ("type", str(job_type))

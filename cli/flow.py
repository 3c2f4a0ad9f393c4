"""Flow control: `limits`, `pause`, `resume` and `why`."""

import click

from gopher.base.rates import format_rate
from gopher.jobs.answers import LimitSet, Released
from gopher.jobs.filters import LimitRequest, Throttled
from gopher.jobs.limit_view import LimitView

from .common import checking_client, client, common, looking_client
from .derived import options
from .groups import SuggestingGroup
from .hints import doubt
from .output import Output, seconds


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@common
def limits(out: Output) -> None:
    """Show and set limits of job types: start rate and concurrency across all workers."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@limits.command("list")
@common
def list_limits(out: Output) -> None:
    """List the types that are limited, paused or throttled."""
    _list(out)


def _list(out: Output) -> None:
    with looking_client() as gopher:
        views = gopher.flow.limits()
    if out.data({"limits": views}):
        return
    columns = ("type", "queue", "rate", "burst", "concurrency", "per key", "running", "state", "set by")
    rows = [
        (
            view.type, view.queue, view.rate, view.burst, view.concurrency, "yes" if view.per_key else "", view.running,
            _state(view), view.origin,
        )
        for view in views
    ]  # fmt: skip
    empty = "no limits: set one with `gopherctl limits set email --rate 10/s`"
    out.table(columns, rows, empty=empty, less_needed=("set by", "burst", "running"))
    out.corrupt((view.type, view.corrupt) for view in views)
    for view in views:
        for key in view.throttled:
            name = key.name if key.tenant is not None else f"limit key {key.limit_key}"
            out.note(f"{view.type}, {name}: throttled for {seconds(key.throttled_for)}")
        if view.throttled_keys > len(view.throttled):
            others = view.throttled_keys - len(view.throttled)
            out.note(f"{view.type}: {others:,} more limit keys are throttled for longer")


def _state(view: LimitView) -> str:
    if view.paused:
        return "paused"
    if view.held_back_for:
        return f"throttled for {seconds(view.held_back_for)}"
    return f"keys throttled: {view.throttled_keys:,}" if view.throttled_keys else ""


@limits.command("set")
@click.argument("job_type", metavar="TYPE")
@options(LimitRequest)
@common
def set_limit(
    out: Output, job_type: str, rate: str | None, burst: float | None, concurrency: int | None, *, per_key: bool
) -> None:
    """Limit a job type. Takes effect within a second, also for waiting jobs."""
    with looking_client() as gopher:
        doubt(out, gopher, job_type=job_type)
        limit = gopher.flow.set_limit(job_type, rate, burst, concurrency, per_key=per_key)
    shown = None if limit.rate is None else format_rate(limit.rate)
    if not out.data(LimitSet(job_type, shown, limit.burst, limit.concurrency, limit.per_key)):
        words = [
            f"{shown} (burst {limit.burst:g})" if shown else "",
            f"concurrency {limit.concurrency}" if limit.concurrency else "",
            "for each limit key" if limit.per_key else "",
        ]
        out.line(f"{job_type}: {', '.join(word for word in words if word)}")


@limits.command("clear")
@click.argument("job_type", metavar="TYPE")
@common
def clear_limit(out: Output, job_type: str) -> int:
    """Clear a limit. The limit declared by the handler applies again."""
    with checking_client() as gopher:
        was_limited = gopher.flow.clear_limit(job_type)
    if not out.data({"type": job_type, "cleared": was_limited}):
        out.line(f"{job_type} is no longer limited" if was_limited else f"{job_type} was not limited")
    return 0 if was_limited else 1


@limits.command("release")
@click.argument("job_type", metavar="TYPE")
@options(Throttled)
@common
def release(out: Output, job_type: str, limit_key: str | None, tenant: str | None) -> int:
    """End what RateLimited has throttled of a job type, of one limit key, or of a tenant, before its time."""
    with client() as gopher:
        released = gopher.flow.release(job_type, limit_key, tenant)
    part = f"limit key {limit_key}" if limit_key is not None else f"tenant {tenant}" if tenant is not None else ""
    what = f"{job_type}, {part}," if part else job_type
    if not out.data(Released(job_type, limit_key, released, tenant)):
        out.line(f"{what} is no longer throttled" if released else f"{what} was not throttled")
    return 0 if released else 1


_queue = click.option("--queue", help="Queue name.")
_type = click.option("--type", "job_type", metavar="TYPE", help="Job type, in all queues.")


@click.command()
@_queue
@_type
@common
def pause(out: Output, queue: str | None, job_type: str | None) -> None:
    """Pause a queue or a job type. Running jobs finish."""
    what, name = _one(queue, job_type)
    with looking_client() as gopher:
        doubt(out, gopher, **{"queue" if what == "queue" else "job_type": name})
        changed = gopher.flow.pause_queue(name) if what == "queue" else gopher.flow.pause_type(name)
    if not out.data({what: name, "paused": True, "changed": changed}):
        out.line(f"{what} {name} is " + ("paused" if changed else "already paused"))


@click.command()
@_queue
@_type
@common
def resume(out: Output, queue: str | None, job_type: str | None) -> None:
    """Resume a paused queue or job type."""
    what, name = _one(queue, job_type)
    with client() as gopher:
        changed = gopher.flow.resume_queue(name) if what == "queue" else gopher.flow.resume_type(name)
    if not out.data({what: name, "paused": False, "changed": changed}):
        out.line(f"{what} {name} is resumed" if changed else f"{what} {name} was not paused")


@click.command()
@click.argument("job_id", metavar="ID")
@common
def why(out: Output, job_id: str) -> None:
    """Explain why a job isn't running yet."""
    with looking_client() as gopher:
        reasons = gopher.why(job_id)
    if not out.data({"job_id": job_id, "reasons": reasons}):
        for reason in reasons:
            until = f" (until {reason.until})" if reason.until and reason.until not in reason.message else ""
            out.line(f"{reason.code}: {reason.message}{until}")


def _one(queue: str | None, job_type: str | None) -> tuple[str, str]:
    if (queue is None) == (job_type is None):
        raise click.UsageError("specify --queue NAME or --type TYPE.")
    return ("queue", queue) if queue is not None else ("type", str(job_type))

"""`schedules`: recurring jobs."""

from typing import Any

import click
import msgspec

from gopher.interface import Gopher
from gopher.jobs.cron import CronExpression
from gopher.jobs.models import ScheduleView
from gopher.jobs.schedule import ScheduleSpec

from .common import checking_client, client, common, looking_client
from .derived import options
from .output import Output, when
from .submitting import read_json


@click.group(invoke_without_command=True)
@common
def schedules(out: Output) -> None:
    """Show and manage schedules: recurring jobs by cron expression."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@schedules.command("list")
@common
def list_schedules(out: Output) -> None:
    """List all schedules with their next run times."""
    _list(out)


def _list(out: Output) -> None:
    with looking_client() as gopher:
        views = gopher.schedules.all()
    if out.data({"schedules": views}):
        return
    columns = ("name", "expression", "timezone", "next (UTC)", "type", "queue", "missed", "overlap")
    rows = [
        (
            view.name, view.cron_expression, view.timezone, "paused" if view.paused else when(view.next_run_at),
            view.type, view.queue, view.missed, view.overlap,
        )
        for view in views
    ]  # fmt: skip
    out.table(columns, rows, empty="no schedules: add one with gopherctl schedules add NAME --cron '0 0 * * *' -t TYPE")
    out.corrupt((view.name, view.corrupt) for view in views)


@schedules.command("add")
@click.argument("name")
@options(ScheduleSpec, without=("payload", "metadata", "origin"))
@click.option(
    "-p",
    "--payload",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="Job payload: a JSON object, @FILE, or - for stdin.",
)
@common
def add(out: Output, name: str, payload: str, **fields: Any) -> None:
    """Create or replace a schedule. Idempotent."""
    given = {field: value for field, value in fields.items() if value is not None}
    spec = ScheduleSpec(payload=msgspec.Raw(read_json(payload, "--payload")), **given)
    with checking_client() as gopher:
        view, what = gopher.schedules.put(name, spec)
    if not out.data(view):
        out.line(f"{what.lower()}: next at {view.next_run_at}" if view.next_run_at else f"{what.lower()}, paused")


@schedules.command("show")
@click.argument("name")
@common
def show(out: Output, name: str) -> None:
    """Show a schedule."""
    with looking_client() as gopher:
        _show(out, gopher.schedules.get(name))


@schedules.command("preview")
@click.argument("name", required=False)
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="Number of times.")
@click.option("--cron", "expression", metavar="EXPRESSION", help="Preview this expression instead of a schedule.")
@click.option("--tz", "timezone", default="UTC", show_default=True, help="The timezone of --cron.")
@common
def preview(out: Output, name: str | None, count: int, expression: str | None, timezone: str) -> None:
    """Show the next run times, in UTC and local time, with changes of daylight saving time marked."""
    import time

    if (name is None) == (expression is None):
        raise click.UsageError("specify a schedule's NAME or --cron EXPRESSION.")
    if name is not None:
        with looking_client() as gopher:
            rows: list[Any] = list(gopher.schedules.preview(name, count))
    else:
        rows = CronExpression(str(expression), timezone).preview(time.time_ns() // 1_000_000, count)
    times = [{"utc": row.utc, "local": row.local, "mark": row.mark} for row in rows]
    if not out.data({"times": times}):
        out.table(("utc", "local", "mark"), [(row["utc"], row["local"], row["mark"]) for row in times], empty="never")


@schedules.command("pause")
@click.argument("name")
@common
def pause(out: Output, name: str) -> None:
    """Pause a schedule: it creates no jobs until it is resumed."""
    with client() as gopher:
        _said(out, gopher.schedules.pause(name), "is paused")


@schedules.command("resume")
@click.argument("name")
@common
def resume(out: Output, name: str) -> None:
    """Resume a paused schedule. Runs missed while paused are not made up for."""
    with client() as gopher:
        view = gopher.schedules.resume(name)
        _said(out, view, f"next run at {view.next_run_at}")


@schedules.command("run")
@click.argument("name")
@common
def run(out: Output, name: str) -> None:
    """Enqueue a job of a schedule now."""
    with client() as gopher:
        job_id = gopher.run_schedule(name)
    if not out.data({"job_id": job_id, "schedule": name}):
        out.line(job_id)


@schedules.command("delete")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Skip confirmation.")
@common
def delete(out: Output, name: str, yes: bool) -> None:
    """Delete a schedule. Jobs that it has already created are not affected."""
    out.confirm(f"Delete schedule {name!r}?", yes)
    with client() as gopher:
        gopher.schedules.delete(name)
    if not out.data({"name": name, "deleted": True}):
        out.line(f"{name} is deleted")


def put_recurring(gopher: Gopher, name: str, spec: ScheduleSpec, out: Output) -> None:
    """Create the schedule of `submit --cron`, and report it."""
    view, what = gopher.schedules.put(name, spec)
    if not out.data(view):
        out.line(f"schedule {name} {what.lower()}: next at {view.next_run_at}")


def _said(out: Output, view: ScheduleView, words: str) -> None:
    if not out.data(view):
        out.line(f"{view.name} {words}")


def _show(out: Output, view: ScheduleView) -> None:
    if out.data(view):
        return
    shown: list[tuple[str, Any]] = []
    for field in view.__struct_fields__:
        value = getattr(view, field)
        shown.append((field, bytes(value).decode() if isinstance(value, msgspec.Raw) else value))
    out.fields([(field, _cell(value)) for field, value in shown])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        # Corrupt fields, usually none.
        return ", ".join(value) or None
    return str(value) if isinstance(value, bool) else value

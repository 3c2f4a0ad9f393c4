"""`schedules`: recurring jobs."""

from typing import Any

import click
import msgspec

from gopher.interface import Gopher
from gopher.jobs.callbacks import Callback
from gopher.jobs.cron import check, fire_times
from gopher.jobs.filters import ScheduleListing
from gopher.jobs.models import SchedulePage, ScheduleView
from gopher.jobs.schedule import ABSENT, ScheduleSpec

from .common import checking_client, client, common, looking_client
from .derived import options
from .groups import SuggestingGroup
from .json_input import read_json
from .output import Output, when
from .submitting import read_callback

_if_version = click.option(
    "--if-version",
    metavar="VERSION",
    help="Fail if the schedule was changed since it had this version (see show).",
)


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@common
def schedules(out: Output) -> None:
    """Show and manage schedules: recurring jobs by cron expression."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@schedules.command("list")
@options(ScheduleListing)
@common
def list_schedules(out: Output, limit: int | None, cursor: str | None) -> None:
    """List schedules by name with their next run times: all of them, or a page."""
    _list(out, limit, cursor)


def _list(out: Output, limit: int | None = None, cursor: str | None = None) -> None:
    with looking_client() as gopher:
        is_page = limit is not None or cursor is not None
        found = gopher.schedules.page(limit=limit, cursor=cursor) if is_page else SchedulePage(gopher.schedules.all())
    if out.data(found if is_page else {"schedules": found.schedules}):
        return
    views = found.schedules
    columns = ("name", "expression", "timezone", "next (UTC)", "type", "queue", "missed", "overlap")
    rows = [
        (
            view.name, view.cron_expression, view.timezone, "paused" if view.paused else when(view.next_run_at),
            view.type, view.queue, view.missed, view.overlap,
        )
        for view in views
    ]  # fmt: skip
    empty = "no schedules: add one with `gopherctl schedules add nightly --cron '0 3 * * *' -t cleanup`"
    out.table(columns, rows, empty=empty, less_needed=("overlap", "missed", "queue", "timezone", "type"))
    out.corrupt((view.name, view.corrupt) for view in views)
    if found.next_cursor:
        out.note(f"next page: --cursor {found.next_cursor}")


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
@click.option("--new", is_flag=True, help="Fail if there is a schedule with this name.")
@_if_version
@common
def add(out: Output, name: str, payload: str, new: bool, if_version: str | None, **fields: Any) -> None:
    """Create or replace a schedule. Idempotent."""
    if new and if_version is not None:
        raise click.UsageError("--new and --if-version exclude each other.")
    given = {field: value for field, value in fields.items() if value is not None}
    given["tags"] = list(given["tags"]) or msgspec.UNSET
    if "callback" in given:
        given["callback"] = read_callback(given["callback"], Callback)
    spec = ScheduleSpec(payload=msgspec.Raw(read_json(payload, "-p")), **given)
    with checking_client() as gopher:
        view, what = gopher.schedules.put(name, spec, ABSENT if new else if_version)
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
        check(str(expression), timezone)
        rows = fire_times(str(expression), timezone).preview(time.time_ns() // 1_000_000, count)
    times = [{"utc": row.utc, "local": row.local, "mark": row.mark} for row in rows]
    if not out.data({"times": times}):
        out.table(("utc", "local", "mark"), [(row["utc"], row["local"], row["mark"]) for row in times], empty="never")


@schedules.command("pause")
@click.argument("name")
@_if_version
@common
def pause(out: Output, name: str, if_version: str | None) -> None:
    """Pause a schedule: it creates no jobs until it is resumed."""
    with client() as gopher:
        _said(out, gopher.schedules.pause(name, if_version), "is paused")


@schedules.command("resume")
@click.argument("name")
@_if_version
@common
def resume(out: Output, name: str, if_version: str | None) -> None:
    """Resume a paused schedule. Runs missed while paused are not made up for."""
    with client() as gopher:
        view = gopher.schedules.resume(name, if_version)
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
@_if_version
@common
def delete(out: Output, name: str, yes: bool, if_version: str | None) -> None:
    """Delete a schedule. Jobs that it has already created are not affected."""
    out.confirm(f"Delete schedule {name!r}?", yes)
    with client() as gopher:
        gopher.schedules.delete(name, if_version)
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
        if value is not msgspec.UNSET:
            shown.append((field, bytes(value).decode() if isinstance(value, msgspec.Raw) else value))
    out.fields([(field, _cell(value)) for field, value in shown])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        # Corrupt fields, usually none.
        return ", ".join(value) or None
    if isinstance(value, msgspec.Struct):
        return msgspec.json.encode(value).decode()
    return str(value) if isinstance(value, bool) else value

"""`capacity` and `scale`: how many workers the jobs need, and the commands that start or stop them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from gopher.base.durations import format_duration
from gopher.jobs.capacity import Capacity, GroupCapacity, HourLoad
from gopher.jobs.lists import CapacityFilter
from gopher.jobs.models import WorkerView

from .common import client, common
from .derived import options
from .output import Output, seconds

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@click.command()
@options(CapacityFilter)
@click.option("--hours", is_flag=True, help="Show the hours of the week (UTC) instead.")
@common
def capacity(out: Output, within: str | None, queue: str | None, hours: bool) -> None:
    """Show how many processes and workers the jobs need to start in time, and why."""
    with client() as gopher:
        found = gopher.capacity(within, queue)
    if out.data(found):
        return
    if hours:
        _show_hours(out, found.hours)
        return
    rows = [
        (
            group.name, ",".join(group.queues), group.waiting, seconds(group.oldest_waiting_age),
            f"{group.arrivals:.3g}", group.processes, group.needed_processes, group.workers, group.needed_workers,
        )
        for group in found.groups
    ]  # fmt: skip
    columns = ("group", "queues", "waiting", "oldest", "per s", "processes", "needed", "workers", "needed workers")
    out.table(columns, rows, empty="no workers, and no jobs that need any", less_needed=("per s", "oldest"))
    for group in found.groups:
        for reason in group.why:
            out.note(f"{group.name}: {reason}")


def _show_hours(out: Output, hours: list[HourLoad]) -> None:
    needs = {(each.weekday, each.hour): each.needed_processes for each in hours}
    rows = [
        (f"{hour:02}:00", *(needs.get((weekday, hour)) for weekday in range(7)))
        for hour in range(24)
        if any((weekday, hour) in needs for weekday in range(7))
    ]
    empty = "nothing is known of any hour yet: the scheduler counts from one full hour to the next"
    out.table(("UTC", *(day[:3] for day in _DAYS)), rows, empty=empty)


class _Change(NamedTuple):
    """What to run to change the number of workers of a group."""

    group: str
    workers: int
    scale_to: int
    run: list[str]
    notes: list[str]


@click.command()
@options(CapacityFilter)
@click.option(
    "--on",
    "platform",
    type=click.Choice(["heroku", "kubernetes", "compose"]),
    help="Platform; by default Heroku if the workers run there, else Kubernetes.",
)
@common
def scale(out: Output, within: str | None, queue: str | None, platform: str | None) -> None:
    """Print the commands that start or stop workers, so that there are as many as the jobs need.

    Nothing is changed. Before dynos are stopped, their workers are told to be quiet, so that no job is interrupted.
    """
    with client() as gopher:
        found = gopher.capacity(within, queue)
        workers = gopher.workers()
    changes = [_change(group, workers, platform) for group in found.groups]
    if out.data({"changes": [change._asdict() for change in changes]}):
        return
    for change in changes:
        for line in change.run:
            out.line(line)
        for note in change.notes:
            out.note(f"{change.group}: {note}")
    if not any(change.run for change in changes):
        out.note(f"nothing to run: {_summary(found)}")


def _summary(found: Capacity) -> str:
    return f"{found.workers} workers run, {found.needed_workers} let jobs start within {format_duration(found.within)}"


def _change(group: GroupCapacity, workers: list[WorkerView], platform: str | None) -> _Change:
    own = sorted(
        (worker for worker in workers if worker.process.rpartition(".")[0] == group.name),
        key=lambda worker: _number(worker.process),
    )
    on_heroku = platform == "heroku" or (platform is None and bool(own))
    # Dynos whose workers are quiet or stopping exist as well.
    there = max((_number(worker.process) for worker in own), default=0) if on_heroku else 0
    write = _COMMANDS[platform or ("heroku" if on_heroku else "kubernetes")]
    run, notes = list[str](), list[str]()
    if group.scale_to != (there or group.workers):
        for worker in own if on_heroku else ():
            if _number(worker.process) <= group.scale_to:
                continue
            if worker.state == "running":
                run.append(f"gopherctl quiet {worker.id}")
            busy = sum(child.job_id is not None for child in worker.children)
            notes.append(f"wait until {worker.process} runs no jobs (now {busy}): see `gopherctl workers`")
        run.append(write(group))
        if group.scale_to < group.workers and not on_heroku:
            notes.append(_GRACE)
    if group.scale_to > group.needed_workers:
        notes.append(
            f"{group.needed_workers} are enough, but {group.name}.{group.scale_to} runs a job that takes longer than "
            "a dyno has to end"
        )
    return _Change(group.name, group.workers, group.scale_to, run, notes)


_GRACE = "workers that stop need time to finish their jobs: see terminationGracePeriodSeconds in docs/autoscaling.md"
_COMMANDS: dict[str, Callable[[GroupCapacity], str]] = {
    "heroku": lambda group: f"heroku ps:scale {group.name}={group.scale_to}",
    "kubernetes": lambda group: f"kubectl scale deployment/gopher-{group.name} --replicas={group.scale_to}",
    "compose": lambda group: (
        f"docker compose up --detach --no-recreate --scale {group.name}={group.scale_to} {group.name}"
    ),
}


def _number(process: str) -> int:
    number: Any = process.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0

"""How many processes and workers the jobs need: `GET /api/v1/capacity?within=60s`, and what autoscalers read.

`load` reads what arrives, waits and runs, `groups` finds which workers serve it, `staffing` computes the number, and
`hours` does the same for the hours of the week.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from gopher.base.durations import format_duration, parse_duration
from gopher.base.times import from_rfc3339, to_rfc3339
from gopher.errors import InvalidJob
from gopher.jobs.capacity import Capacity, GroupCapacity, TypeLoad
from gopher.jobs.lists import CapacityFilter
from gopher.jobs.models import WorkerView
from gopher.queue.store import Server
from gopher.reads.jobs import Inspector

from .groups import Group, group_workers, homes
from .held import HeldJob, read_held
from .hours import hours_of_the_week
from .load import QueueLoad, TypeTimes, busiest, read_loads, read_times
from .service_times import ONE_SECOND, ServiceTimes
from .staffing import Load, Need, needed
from .useful import Useful, useful

#: Seconds: a promise of more than a day is none.
_LONGEST = 86_400.0
#: Seconds in which a dyno's jobs can end after Heroku has told it to stop (see WORKER_SHUTDOWN_TIMEOUT).
SHUTDOWN = 20.0
_UNKNOWN = TypeTimes(None, None)


def capacity(server: Server, inspector: Inspector, asked: CapacityFilter, *, hours: bool = True) -> Capacity:
    """Return how many processes and workers are needed. Raises InvalidJob.

    Without `hours` those of the week are not read, which autoscalers do not need.
    """
    within = server.settings.capacity_within if asked.within is None else _seconds(asked.within)
    names = [name for name in server.queues() if asked.queue in (None, name)]
    workers = [each for each in inspector.workers() if asked.queue is None or asked.queue in each.queues]
    now = inspector.now()
    totals = inspector.totals_of(names)
    times = read_times(inspector, totals)
    loads = read_loads(server, totals, times, within, now)
    busy = [load.name for load in loads if not load.is_idle]
    groups = group_workers(workers, busy, server.settings.webhooks_queue)
    home = homes(groups)
    own: dict[tuple[str, ...], list[QueueLoad]] = {group.queues: [] for group in groups}
    for load in loads:
        if load.name in home:
            own[home[load.name].queues].append(load)
    held = read_held(server, workers, names, now)
    found = [_capacity_of(group, own[group.queues], held, times, within, now) for group in groups]
    known = {name: each.run for name, each in times.items() if each.run is not None}
    return Capacity(
        at=to_rfc3339(now),
        within=within,
        workers=sum(each.workers for each in found),
        processes=sum(each.processes for each in found),
        needed_processes=sum(each.needed_processes for each in found),
        needed_workers=sum(each.needed_workers for each in found),
        scale_to=sum(each.scale_to for each in found),
        groups=found,
        hours=hours_of_the_week(server, busiest(totals), known, within, now) if hours else [],
    )


def _seconds(text: str | float) -> float:
    try:
        seconds = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidJob(f"is {text!r:.60}: {error}", "/within") from None
    if not 0 < seconds <= _LONGEST:
        raise InvalidJob(f"is {text!r:.60}: must be greater than 0 and at most {format_duration(_LONGEST)}", "/within")
    return seconds


def _capacity_of(
    group: Group,
    queues: Sequence[QueueLoad],
    held: Mapping[str, Sequence[HeldJob]],
    times: Mapping[str, TypeTimes],
    within: float,
    now: int,
) -> GroupCapacity:
    arrivals, waiting = Counter[str](), Counter[str]()
    for queue in queues:
        for name, rate in queue.arrivals.items():
            arrivals[name] += rate  # type: ignore[assignment]
        waiting.update(queue.waiting)
    of_workers = [job for worker in group.workers for job in held.get(worker.id, ())]
    waiting.update(job.type for job in of_workers)
    running = _running(group, now)
    # Of a type without history: like the others of the group.
    usual = ServiceTimes.mixed(
        (arrivals[name] or 0.01, known.run)
        for name in {*arrivals, *waiting, *running}
        if (known := times.get(name, _UNKNOWN)).run is not None
    )
    loads, types = [], []
    for name in sorted({*arrivals, *waiting, *running}):
        known = times.get(name, _UNKNOWN)
        run = known.run or usual or ONE_SECOND
        loads.append(Load(run, arrivals[name], waiting[name], tuple(running.get(name, ()))))
        types.append(
            TypeLoad(
                name or "unknown",
                round(arrivals[name], 6),
                waiting[name],
                len(running.get(name, ())),
                round(run.mean, 6),
                known.cpu,
                known.run is None,
            )
        )
    ages = [*(age for queue in queues for age in queue.ages), *((job.age, 1) for job in of_workers)]
    working = useful(group, types, {name: each.classes for name, each in times.items()})
    need = needed(loads, within, sorted(ages, reverse=True), round(working.processes * len(group.workers)))
    workers = math.ceil(round(need.processes / working.processes, 6))
    return GroupCapacity(
        name=group.name,
        queues=list(group.queues),
        workers=len(group.workers),
        processes=group.processes,
        useful_processes=round(working.processes, 2),
        waiting=waiting.total(),
        running=sum(map(len, running.values())),
        oldest_waiting_age=max((age for age, _ in ages), default=0.0),
        arrivals=round(sum(arrivals.values()), 6),
        needed_processes=need.processes,
        needed_workers=workers,
        scale_to=max(workers, group.highest(lambda worker: _runs_long(worker, times, now))),
        why=_why(group, need, types, within, working),
        types=types,
    )


def _runs_long(worker: WorkerView, times: Mapping[str, TypeTimes], now: int) -> bool:
    """Return whether a worker would have to interrupt a job if it were stopped now."""
    return any(
        (times.get(name, _UNKNOWN).run or ONE_SECOND).left(ran, _LONGEST) > SHUTDOWN for name, ran in _jobs(worker, now)
    )


def _jobs(worker: WorkerView, now: int) -> list[tuple[str, float]]:
    """Return the type of each job that a worker runs, and for how long it has run (s)."""
    return [
        (child.job_type, max(now - from_rfc3339(child.running_since), 0) / 1000)
        for child in worker.children
        if child.job_type is not None and child.running_since is not None
    ]


def _running(group: Group, now: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for worker in group.workers:
        for name, ran in _jobs(worker, now):
            found.setdefault(name, []).append(ran)
    return found


def _why(group: Group, need: Need, types: Sequence[TypeLoad], within: float, working: Useful) -> list[str]:
    rate, waiting = sum(each.arrivals for each in types), sum(each.waiting for each in types)
    running = sum(each.running for each in types)
    reasons = [f"{rate:.3g} jobs/s arrive, and {running} run: they keep {need.arrivals:.3g} processes busy"]
    if waiting:
        reasons.append(
            f"{waiting} jobs wait: {need.waiting:.3g} processes let them start within {format_duration(within)}"
        )
    if working.processes < group.per_worker - 0.01:
        reasons.append(
            f"{working.processes:.3g} of the {group.per_worker:.3g} processes of a worker can work at a time: their "
            f"jobs use all of its {working.bound}"
        )
    if not group.workers:
        reasons.append(f"no worker serves {', '.join(group.queues)}: {group.per_worker:.0f} processes each are assumed")
    if assumed := [each.type for each in types if each.assumed]:
        reasons.append(f"no job has ended yet of {', '.join(assumed[:5])}: their duration is assumed")
    return reasons

"""Schedules in a running system: one job a tick, however many schedulers there are and whichever is killed."""

import itertools
import signal
import time

import msgspec

from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until


def every_second(**more) -> ScheduleSpec:
    return ScheduleSpec(cron_expression="* * * * * *", type="other", payload=msgspec.Raw(b"{}"), **more)


def fired(system) -> list[str]:
    """The times that have become jobs: a tick's job id begins with its time."""
    page = system.client.jobs(job_type="other", limit=500)
    return sorted(job.created_at for job in page.jobs)


def test_three_schedulers_with_kills_make_one_job_a_second(system):
    client = system.client
    # When all three are starting for a second, it is made up for.
    client.schedules.put("tick", every_second(missed="run_all"))
    schedulers = [system.start("scheduler") for _ in range(3)]
    for round_ in range(8):
        wait_until(lambda count=round_: len(fired(system)) > count, timeout=60)
        schedulers[round_ % 3].send_signal(signal.SIGKILL)
        schedulers[round_ % 3] = system.start("scheduler")
    client.schedules.pause("tick")
    times = fired(system)
    assert len(times) == len(set(times)), "a tick made two jobs"
    seconds = [int(time_[17:19]) for time_ in times]
    steps = {(after - before) % 60 for before, after in itertools.pairwise(seconds)}
    assert steps == {1}, "a tick is missing"


def test_after_an_absence_the_policy_decides(system):
    client = system.client
    # No hour begins until all is done: that were a fourth tick, or one that is late by so little that it is in time.
    wait_until(lambda: 6 < time.time() % 3600 < 3540, 90)
    for missed in ("skip", "run_once", "run_all"):
        spec = msgspec.structs.replace(every_second(missed=missed), type="work", queue=missed.replace("_", "-"))
        spec = msgspec.structs.replace(spec, cron_expression="@hourly")
        client.schedules.put(missed, spec)
        # As if no scheduler had been there for three ticks: the next one is long due.
        keys = client.server.keys.for_queue(spec.queue)
        due = int(client.server.client.zscore(keys.ticks, missed))
        client.server.client.zadd(keys.ticks, {missed: due - 3 * 3_600_000})
    system.start("scheduler")
    wait_until(
        lambda: all(
            client.schedules.get(name).next_run_at > "2026" and _moved(client, name)
            for name in ("skip", "run_once", "run_all")
        )
    )
    counts = {name: len(client.jobs(queue=name.replace("_", "-")).jobs) for name in ("skip", "run_once", "run_all")}
    assert counts["skip"] == 0
    assert counts["run_once"] == 1
    assert counts["run_all"] == 3


def _moved(client, name: str) -> bool:
    keys = client.server.keys.for_queue(name.replace("_", "-"))
    return int(client.server.client.zscore(keys.ticks, name)) > time.time() * 1000


def test_overlap_skip_leaves_ticks_out_while_a_job_is_unfinished(system):
    client = system.client
    client.schedules.put("tick", every_second(overlap="skip"))
    system.start("scheduler")
    # Nobody works: the first job stays unfinished.
    wait_until(lambda: client.inspector.totals("default").get("skipped_overlap:tick", 0) >= 2)
    assert len(fired(system)) == 1


def test_a_schedule_fires_in_a_queue_that_is_new(system, ended):
    client = system.client
    system.start("scheduler")
    system.start("worker", WORKER_QUEUES="fresh")
    client.schedules.put("tick", every_second(queue="fresh"))
    wait_until(lambda: len(system.lines("other")) >= 2, timeout=60)


def test_a_move_to_another_queue_that_was_cut_off_is_completed_by_the_scheduler(system):
    """The process that has changed the schedule dies before it is stored with its new queue."""
    client = system.client
    client.schedules.put("tick", every_second())
    found = client.schedules._settled("tick")
    assert client.schedules._store("tick", found, every_second(queue="fresh")) == "REPLACED"
    assert [copy.queue for copy in client.schedules._stored.found("tick").copies] == ["default"]
    system.start("scheduler")
    wait_until(lambda: len(client.jobs(queue="fresh").jobs) >= 2)
    # It is stored there before it is deleted here.
    wait_until(lambda: [copy.queue for copy in client.schedules._stored.found("tick").copies] == ["fresh"])
    assert client.jobs(queue="default").jobs == []
    times = fired(system)
    assert len(times) == len(set(times)), "a tick made two jobs"

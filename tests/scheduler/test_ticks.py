"""A thousand ticks by a clock that the test sets, three schedulers, and fifty of them dying in the middle."""

import random
from collections.abc import Iterator

import msgspec
import pytest
from gopher.scheduler.ticker import Ticker

from gopher.config.settings import Settings
from gopher.jobs.job import created_ms
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.store import Server
from tests.invariants.lab import START, LabQueue

TICKS, KILLS, PERIOD = 1_000, 50, 60_000


@pytest.fixture
def own_space(redis_url: str, namespace: str) -> Iterator[Server]:
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as server:
        yield server


@pytest.mark.parametrize("missed", ["run_once", "run_all"])
def test_a_thousand_ticks_with_fifty_deaths_are_a_thousand_jobs(own_space: Server, missed: str) -> None:
    server = own_space
    queue = LabQueue(server.keys.for_queue("ticks"))
    clock = queue.keys.prefix + "clock"
    draw = random.Random(7)
    spec = ScheduleSpec(cron_expression="* * * * *", type="a", payload=msgspec.Raw(b"{}"), missed=missed, queue="ticks")
    server.client.set(clock, START)
    server.run(queue.set_schedule("tick", spec.definition(), START))
    deaths = set(draw.sample(range(3 * TICKS), KILLS))
    turn = 0
    for tick in range(TICKS):
        server.client.set(clock, START + tick * PERIOD + draw.randint(0, 900))
        # All three look before any of them acts: the worst that can happen.
        schedulers = [Ticker(queue, "ns", print) for _ in range(3)]
        draw.shuffle(schedulers)
        for ticker in schedulers:
            ticker.took(server.run(ticker.call(0.0)), 0.0)
        alive = 3
        for ticker in schedulers:
            dies, turn = turn in deaths and alive > 1, turn + 1
            alive -= dies
            for call in ticker.follow_ups():
                if dies and draw.random() < 0.5:
                    break  # Killed before the script was sent; else after it ran, before the reply was read.
                server.run(call)
    jobs = [raw.decode().rpartition(":")[2] for raw in server.client.scan_iter(queue.keys.prefix + "job:*", count=1000)]
    times = sorted(created_ms(job_id) for job_id in jobs)
    assert times == [START + tick * PERIOD for tick in range(TICKS)], "a tick is missing or was made twice"


def test_a_tick_that_can_not_be_read_keeps_no_other_schedule_from_firing(own_space: Server) -> None:
    server, queue = own_space, LabQueue(own_space.keys.for_queue("ticks"))
    redis, keys = server.client, queue.keys
    redis.set(keys.prefix + "clock", START)
    spec = ScheduleSpec(cron_expression="* * * * *", type="a", payload=msgspec.Raw(b"{}"), queue="ticks").definition()
    server.run(queue.set_schedule("good", spec, START))
    for at, time in enumerate(["-inf", -1e300, -62_135_647_200_000]):
        redis.hset(keys.schedules, f"time-{at}", spec)
        redis.zadd(keys.ticks, {f"time-{at}": time})
    redis.hset(keys.schedules, b"\xff", spec)
    redis.zadd(keys.ticks, {b"\xff": 1, "no definition": 1, "later": "+inf"})
    ticker = Ticker(queue, "ns", print)
    ticker.took(server.run(ticker.call(0.0)), 0.0)
    server.run_all(ticker.follow_ups())
    assert redis.llen(keys.next) == 1
    # Nothing is due again at once: it would keep the scheduler busy for good.
    assert server.run(queue.due_ticks()).due == []
    assert redis.zrange(keys.ticks, 0, -1) == [b"good", b"time-0", b"time-1", b"time-2", b"later"]

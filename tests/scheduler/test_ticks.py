"""A thousand ticks by a clock that the test sets, three schedulers, and fifty of them dying in the middle."""

import random
from collections.abc import Iterator

import msgspec
import pytest
from gopher.scheduler.ticker import Ticker

from gopher.job import created_ms
from gopher.schedule import ScheduleSpec
from gopher.server import Server
from gopher.settings import Settings
from tests.invariants.lab import START, LabQueue

TICKS, KILLS, PERIOD = 1_000, 50, 60_000


@pytest.fixture
def own_space(redis_url: str, namespace: str) -> Iterator[Server]:
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as server:
        yield server


@pytest.mark.parametrize("missed", ["run_once", "run_all"])
def test_a_thousand_ticks_with_fifty_deaths_are_a_thousand_jobs(own_space: Server, missed: str) -> None:
    server = own_space
    queue = LabQueue(server.keys.of("ticks"))
    clock = queue.keys.prefix + "clock"
    draw = random.Random(7)
    spec = ScheduleSpec(cron_expression="* * * * *", type="a", payload=msgspec.Raw(b"{}"), missed=missed)
    server.client.set(clock, START)
    server.run(queue.set_schedule("tick", spec.definition(), START))
    deaths = set(draw.sample(range(3 * TICKS), KILLS))
    turn = 0
    for tick in range(TICKS):
        server.client.set(clock, START + tick * PERIOD + draw.randint(0, 900))
        # All three look before any of them acts: the worst that can happen.
        schedulers = [Ticker(queue, "ns") for _ in range(3)]
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

"""Runs in which the calls are made by hand: a server that has much to do gets them one after the other."""

import time
from collections.abc import Callable

import msgspec

from gopher.jobs.schedule import ScheduleSpec

from .bench import Bench, Measured, job, payload
from .costs import Events

#: A run returns the events that happened, as its description has them, and what the server took for them.
Run = Callable[[Bench], tuple[Events, Measured]]


def submits(kilobytes: float, batch: int, count: int) -> Run:
    """Submits jobs in calls of `batch`."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        with bench.measured() as found:
            bench.submit(kilobytes, batch, count)
        bench.settle()
        return {"submission": -(-count // batch), "submitted": count, "submitted KB": count * kilobytes}, found

    return run


def works(kilobytes: float, batch: int, count: int, result: float = 0.0) -> Run:
    """Fetches and completes jobs, `batch` in each round trip."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        bench.submit(kilobytes, 500, count)
        with bench.measured() as found:
            while bench.work(batch, payload(result) if result else b""):
                pass
        bench.settle()
        events = {"exchange": -(-count // batch) + 1, "worked": count, "worked KB": count * kilobytes}
        return events | {"result KB": count * result}, found

    return run


def ticks(count: int) -> Run:
    """Does what a scheduler does for schedules that are due at once."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        names = [f"s{number}" for number in range(count)]
        spec = ScheduleSpec(cron_expression="0 0 1 1 *", type="noop", payload=msgspec.Raw(payload(0.1)))
        for name in names:
            bench.client.schedules.put(name, spec)
        # The server knows the scripts.
        bench.run(bench.queue.due_ticks(1))
        bench.run(bench.queue.tick("none", b"{}", 0, None, []))
        bench.lab.redis.zadd(bench.queue.keys.ticks, dict.fromkeys(names, int(time.time() * 1000)))
        with bench.measured() as found:
            due = bench.run(bench.queue.due_ticks(count))
            later = due.now + 86_400_000
            bench.client.server.run_all(
                [bench.queue.tick(name.decode(), spec, at, later, [job(0.1)]) for name, at, spec in due.due]
            )
        for name in names:
            bench.client.schedules.delete(name)
        bench.settle()
        return {"tick": count}, found

    return run


def nothing(seconds: float) -> Run:
    """Only waits."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        with bench.measured() as found:
            time.sleep(seconds)
        return {"second": found.seconds}, found

    return run

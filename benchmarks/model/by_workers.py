"""Runs with real processes, and the two trials."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import psutil

from benchmarks.fleet import Fleet
from benchmarks.lab import halt, let_go_on
from gopher.config.settings import Settings
from gopher.jobs.registry import Registry

from .bench import Bench, Measured, spread
from .by_hand import Run
from .costs import Events

#: Jobs per second of a server that has little to do, whose calls come one at a time.
SLOWLY = 90
#: Seconds until a scheduler has nothing to do but its periodic duties; and until the last results have arrived.
SETTLED, LAST = 6.0, 0.1
#: A handler module without schedules.
_HANDLERS = {"LOG_LEVEL": "error", "GOPHER_HANDLERS": "gopher.handlers.maths"}


class Trial(NamedTuple):
    """A run that the model is not fitted to, with what it has stored, and how many bytes that took."""

    what: str
    events: Events
    measured: Measured
    stored: Events
    memory: int


def picks_up(kilobytes: float, count: int) -> Run:
    """A worker that is idle gets one job after the other."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        with workers(bench) as (done, _), bench.measured() as found:
            _paced(count, SLOWLY, lambda number: bench.submit(kilobytes, 1, 1))
            bench.lab.wait_for(done + count, pause=0.02)
        return _singles(count, kilobytes) | {"worker": found.seconds, "second": found.seconds}, found

    return run


def delays(count: int) -> Run:
    """The same with a scheduler, and every third job is delayed by half a second."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        with workers(bench) as (done, _), scheduler(bench), bench.measured() as found:
            _paced(count, SLOWLY, lambda number: bench.submit(0.1, 1, 1, due="" if number % 3 else "+500"))
            bench.lab.wait_for(done + count, pause=0.02)
        events = {"delayed": count / 3, "worker": found.seconds, "queue": found.seconds, "second": found.seconds}
        return _singles(count, 0.1) | events, found

    return run


def drains(kilobytes: float, count: int) -> Run:
    """A worker works off what is waiting."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        with workers(bench) as (done, roots):
            halt(roots[0])
            bench.submit(kilobytes, 500, count)
            with bench.measured() as found:
                let_go_on(roots[0])
                bench.lab.wait_for(done + count, pause=0.02)
                time.sleep(LAST)
        return {"exchange": found.scripts / 2, "worked": count, "worked KB": count * kilobytes}, found

    return run


def idles(count: int, seconds: float, queues: int = 1) -> Run:
    """Workers without jobs, and a scheduler if there are several queues."""

    def run(bench: Bench) -> tuple[Events, Measured]:
        names = ("default", *(f"q{number}" for number in range(1, queues)))
        settings = Settings(redis_url=bench.lab.url, worker_concurrency=2, worker_queues=names)
        with ExitStack() as stack:
            fleet = stack.enter_context(Fleet(settings, count, Registry()))
            if queues > 1:
                stack.enter_context(scheduler(bench, wait=fleet.run))
            fleet.run(2.0)
            with bench.measured() as found:
                fleet.run(seconds)
        events = {"worker": count * queues * found.seconds, "second": found.seconds}
        return events | ({"queue": queues * found.seconds} if queues > 1 else {}), found

    return run


def in_bulk(bench: Bench, batch: float) -> Trial:
    """Try jobs that are submitted in batches, and worked off by one worker at full speed."""
    count, batch_of, kilobytes = 12_000, 250, 0.45
    with workers(bench) as (done, roots):
        memory = bench.memory()
        halt(roots[0])
        with bench.measured() as found:
            for _ in range(count // batch_of):
                payloads = [_payload(kilobytes * spread(number)) for number in range(batch_of)]
                bench.client.enqueue_many({"type": "noop", "payload": each} for each in payloads)
            let_go_on(roots[0])
            bench.lab.wait_for(done + count, pause=0.02)
            time.sleep(LAST)
        memory = bench.memory() - memory
    events = {"submission": count / batch_of, "submitted": count, "submitted KB": count * kilobytes}
    events |= {"exchange": count / batch, "worked": count, "worked KB": count * kilobytes, "second": found.seconds}
    return Trial("bulk", events, found, {"finished": count, "finished KB": count * kilobytes}, memory)


def one_by_one(bench: Bench, batch: float) -> Trial:
    """Try a steady stream for two workers, of which every fifth job is delayed, with a scheduler."""
    count, rate, kilobytes = 800, 100, 0.6

    def submit(number: int) -> None:
        bench.client.enqueue("noop", _payload(kilobytes * spread(number)), delay=0.7 if number % 5 == 4 else None)

    with workers(bench, 2) as (done, _), scheduler(bench):
        memory = bench.memory()
        with bench.measured() as found:
            _paced(count, rate, submit)
            bench.lab.wait_for(done + count, pause=0.02)
            time.sleep(LAST)
        memory = bench.memory() - memory
    events = {"delayed": count // 5, "worker": 2 * found.seconds, "queue": found.seconds, "second": found.seconds}
    stored = {"finished": count, "finished KB": count * kilobytes}
    return Trial("stream", _singles(count, kilobytes) | events, found, stored, memory)


def _singles(count: int, kilobytes: float) -> dict[str, float]:
    """Return the events of jobs that are submitted and picked up one by one."""
    kb = count * kilobytes
    return {"submission": count, "submitted": count, "submitted KB": kb, "worked KB": kb, "picked up": count}


def _payload(kilobytes: float) -> dict[str, str]:
    return {"x": "y" * (round(kilobytes * 1000) - 8)}


def _paced(count: int, rate: float, act: Callable[[int], None]) -> None:
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(began + number / rate - time.monotonic(), 0.0))
        act(number)


@contextmanager
def workers(bench: Bench, count: int = 1) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run workers of two children that have had their first jobs; yields how many jobs are done."""
    with ExitStack() as stack:
        roots = [stack.enter_context(bench.lab.worker()) for _ in range(count)]
        done, first = bench.lab.done(), 20 * count
        bench.submit(0.1, 1, first)
        bench.lab.wait_for(done + first, pause=0.02)
        time.sleep(1.0)
        yield done + first, roots


@contextmanager
def scheduler(bench: Bench, wait: Callable[[float], None] = time.sleep) -> Iterator[None]:
    environ = {**os.environ, "REDIS_URL": bench.lab.url, **_HANDLERS}
    process = subprocess.Popen([sys.executable, "-m", "gopher.scheduler"], env=environ, stdin=subprocess.DEVNULL)
    try:
        wait(SETTLED)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()

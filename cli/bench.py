"""`bench`: how fast this installation is, beside what its server can do at most.

It works in a namespace of its own, with a worker of its own, and removes both: jobs of the installation are neither
seen nor touched. What else the server and this machine have to do is part of the result.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import click
import msgspec

from gopher.base.states import SUCCEEDED
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import GopherError
from gopher.jobs.submission import JobFields
from gopher.server.errors import explained

from .common import common
from .output import Output
from .processes import Process, Processes, gopherctl

#: 100 bytes of JSON.
PAYLOAD = {"x": "y" * 92}
#: Seconds until the worker must have done its first job, and the next ones.
START_TIMEOUT, STALL = 30.0, 30.0
#: Jobs sent to the idle worker, and seconds between two.
SAMPLES, PAUSE = 100, 0.01


class BenchFailed(GopherError):
    """Raised when the worker does not get on."""


class Rates(msgspec.Struct):
    """What was measured: per second, and in milliseconds."""

    children: int
    enqueue_one_by_one: float
    enqueue_bulk: float
    drain: float
    pick_up_p50_ms: float
    pick_up_p99_ms: float
    server_lpush: float
    server_brpoplpush_lrem: float
    server_round_trip_ms: float


@click.command()
@click.option("--jobs", type=click.IntRange(1000, 10_000_000), default=20_000, help="Jobs to drain.", show_default=True)
@common
def bench(out: Output, jobs: int) -> None:
    """Measure throughput and latency of this installation, with the raw server's limit beside it.

    A worker of WORKER_CONCURRENCY children is started for it, in a namespace of its own that is removed afterwards.
    """
    settings = Settings.from_env()
    settings = replace(settings, namespace=f"{settings.namespace[:40]}-bench-{uuid4().hex[:8]}")
    with Client(settings=settings, connections=2) as client, _removed_afterwards(client):
        found = _measure(client, jobs)
    if not out.data(found):
        _show(out, found)


def _measure(client: Client, jobs: int) -> Rates:
    single = jobs // 10
    trip, lpush, move = _server_limit(client, single)
    one_by_one = single / _timed(lambda: [client.enqueue("bench_noop", PAYLOAD) for _ in range(single)])
    many: list[JobFields] = [{"type": "bench_noop", "payload": PAYLOAD}] * (jobs - single)
    bulk = len(many) / _timed(lambda: client.enqueue_many(many))
    with _worker(client.settings) as process:
        drained = _drain(client, process, jobs)
        late = sorted(_pick_up(client) for _ in range(SAMPLES))
    return Rates(
        children=client.settings.worker_concurrency,
        enqueue_one_by_one=round(one_by_one, 1),
        enqueue_bulk=round(bulk, 1),
        drain=round(drained, 1),
        pick_up_p50_ms=round(late[SAMPLES // 2], 3),
        pick_up_p99_ms=round(late[SAMPLES * 99 // 100 - 1], 3),
        server_lpush=round(lpush, 1),
        server_brpoplpush_lrem=round(move, 1),
        server_round_trip_ms=round(trip, 3),
    )


def _server_limit(client: Client, count: int) -> tuple[float, float, float]:
    """Return the ms of a PING, LPUSHes a second, and jobs a second by BRPOPLPUSH + LREM in one trip."""
    server, prefix = client.server.client, client.server.keys.for_queue("raw").prefix
    waiting, taken, job = f"{prefix}waiting", f"{prefix}taken", msgspec.json.encode(PAYLOAD)

    def move() -> None:
        held = server.brpoplpush(waiting, taken, 1)
        for _ in range(count - 1):
            with server.pipeline(transaction=False) as pipe:
                # By its name: redis-py keeps the method from the pipelines of a cluster, also for keys of one slot.
                _, held = pipe.lrem(taken, -1, held).execute_command("BRPOPLPUSH", waiting, taken, 1).execute()

    with explained():
        trip = min(_timed(server.ping) for _ in range(50)) * 1000
        pushing = _timed(lambda: [server.lpush(waiting, job) for _ in range(count)])
        return trip, count / pushing, count / _timed(move)


def _drain(client: Client, process: Process, jobs: int) -> float:
    """Return jobs a second, from when the first ones have ended to the last."""
    first = done = _next_count(client, process, 0, START_TIMEOUT)
    began = time.perf_counter()
    while done < jobs:
        done = _next_count(client, process, done, STALL)
    if done == first:
        raise BenchFailed(f"{jobs} jobs were done before they could be timed: use more --jobs")
    return (done - first) / (time.perf_counter() - began)


def _next_count(client: Client, process: Process, known: int, timeout: float) -> int:
    """Wait until more than `known` jobs are done; return how many."""
    deadline = time.monotonic() + timeout
    key = client.server.keys.for_queue("default").totals
    while True:
        time.sleep(0.005)
        with explained():
            done = int(client.server.client.hget(key, "completed:bench_noop") or 0)
        if done > known:
            return done
        if not process.running or time.monotonic() > deadline:
            raise BenchFailed(f"the worker has done {known} jobs and does not get on")


def _pick_up(client: Client) -> float:
    """Return the milliseconds from before a job is sent to its first instruction."""
    time.sleep(PAUSE)
    sent = time.time_ns()
    view = client.wait(client.enqueue("bench_clock", PAYLOAD), 10.0)
    if view.status not in SUCCEEDED:
        raise BenchFailed(f"a job is {view.status} after ten seconds on an idle worker")
    return (msgspec.json.decode(view.result, type=int) - sent) / 1e6


@contextmanager
def _worker(settings: Settings) -> Iterator[Process]:
    environ = os.environ | {
        "REDIS_URL": settings.redis_url,
        "GOPHER_NAMESPACE": settings.namespace,
        "GOPHER_HANDLERS": "gopher.cli.bench_handlers",
        "WORKER_QUEUES": "default",
        "LOG_LEVEL": "warning",
    }
    processes = Processes(lambda name, line: click.echo(line, err=True), environ)
    try:
        yield processes.start("worker", gopherctl("worker"))
        processes.stop(["worker"], 10.0)
    finally:
        processes.close()


@contextmanager
def _removed_afterwards(client: Client) -> Iterator[None]:
    """Delete every key of the client's namespace at the end: it is nobody's but ours."""
    try:
        yield
    finally:
        server = client.server.client
        with explained():
            keys = list(server.scan_iter(match=f"{client.settings.namespace}:*", count=1000))
            for at in range(0, len(keys), 1000):
                with server.pipeline(transaction=False) as pipe:
                    for key in keys[at : at + 1000]:
                        pipe.unlink(key)
                    pipe.execute()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _show(out: Output, found: Rates) -> None:
    drain = f"{found.drain / found.server_brpoplpush_lrem:.1f} x the server's BRPOPLPUSH + LREM"
    enqueue = f"{found.enqueue_one_by_one / found.server_lpush:.2f} x the server's LPUSH"
    rows = [
        ("enqueue, one by one", f"{found.enqueue_one_by_one:,.0f} jobs/s", enqueue),
        ("enqueue, in bulk", f"{found.enqueue_bulk:,.0f} jobs/s", ""),
        (f"drain, {found.children} children", f"{found.drain:,.0f} jobs/s", drain),
        ("idle pick-up, median", f"{found.pick_up_p50_ms:.2f} ms", f"a PING takes {found.server_round_trip_ms:.2f} ms"),
        ("idle pick-up, p99", f"{found.pick_up_p99_ms:.2f} ms", ""),
        ("server: LPUSH", f"{found.server_lpush:,.0f} /s", "one client, one a round trip"),
        ("server: BRPOPLPUSH + LREM", f"{found.server_brpoplpush_lrem:,.0f} /s", "one client, one a round trip"),
    ]
    out.table(("what", "measured", "beside"), rows, empty="nothing was measured")

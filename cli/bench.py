"""`bench`: the performance of this installation, compared with the limits of its server.

It uses a separate namespace and a separate worker, and removes both: the installation's own jobs are not touched.
Other load on the server and this machine affects the results.
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
from gopher.config.environment import override
from gopher.config.settings import Settings
from gopher.errors import GopherError
from gopher.jobs.submission import JobFields
from gopher.server.errors import explained

from .common import common
from .output import Output, printable
from .processes import Process, Processes, gopherctl

#: 100 bytes of JSON.
PAYLOAD = {"x": "y" * 92}
#: Timeouts in seconds for the worker's first job, and for each further progress.
START_TIMEOUT, STALL = 30.0, 30.0
#: Jobs that a new worker runs before anything is measured.
WARM_UP = 100
#: Jobs sent to the idle worker, and the seconds between them.
SAMPLES, PAUSE = 100, 0.01


class BenchFailed(GopherError):
    """Raised when the worker is making no progress."""


class Rates(msgspec.Struct):
    """Results: per second, and in milliseconds."""

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
@click.option(
    "--jobs", type=click.IntRange(1000, 10_000_000), default=20_000, help="Number of jobs.", show_default=True
)
@common
def bench(out: Output, jobs: int) -> None:
    """Measure throughput and latency of this installation, compared with the raw server.

    Starts a worker with WORKER_CONCURRENCY children in a separate namespace, which is removed afterwards.
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
    many: list[JobFields] = [{"type": "bench_noop", "payload": PAYLOAD}] * (jobs - single)
    with _worker(client.settings) as process:
        client.enqueue_many(many[:WARM_UP])
        _finished(client, process, WARM_UP)
        late = sorted(_pick_up(client) for _ in range(SAMPLES))
        # The worker starts with them when they are all there.
        client.flow.pause_queue("default")
        one_by_one = single / _timed(lambda: [client.enqueue("bench_noop", PAYLOAD) for _ in range(single)])
        bulk = len(many) / _timed(lambda: client.enqueue_many(many))
        drained = jobs / _timed(lambda: _drain(client, process, WARM_UP + jobs))
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
    """Return the ms of a PING, LPUSHes per second, and jobs per second by BRPOPLPUSH + LREM in one round trip."""
    server, prefix = client.server.client, client.server.keys.for_queue("raw").prefix
    waiting, taken, job = f"{prefix}waiting", f"{prefix}taken", msgspec.json.encode(PAYLOAD)

    def move() -> None:
        held = server.brpoplpush(waiting, taken, 1)
        for _ in range(count - 1):
            with server.pipeline(transaction=False) as pipe:
                # As a raw command: redis-py's cluster pipelines lack the method, even for keys of one slot.
                _, held = pipe.lrem(taken, -1, held).execute_command("BRPOPLPUSH", waiting, taken, 1).execute()

    with explained():
        trip = min(_timed(server.ping) for _ in range(50)) * 1000
        pushing = _timed(lambda: [server.lpush(waiting, job) for _ in range(count)])
        return trip, count / pushing, count / _timed(move)


def _drain(client: Client, process: Process, jobs: int) -> None:
    client.flow.resume_queue("default")
    _finished(client, process, jobs)


def _finished(client: Client, process: Process, jobs: int) -> None:
    """Wait until that many jobs have finished, including those of the warm-up."""
    done, deadline = 0, time.monotonic() + START_TIMEOUT
    key = client.server.keys.for_queue("default").totals
    while done < jobs:
        time.sleep(0.005)
        known = done
        with explained():
            done = int(client.server.client.hget(key, "completed:bench_noop") or 0)
        if done > known:
            deadline = time.monotonic() + STALL
        elif not process.running or time.monotonic() > deadline:
            raise BenchFailed(f"the worker is making no progress after {done} jobs")


def _pick_up(client: Client) -> float:
    """Return the milliseconds from enqueueing a job to its first instruction."""
    time.sleep(PAUSE)
    sent = time.time_ns()
    view = client.wait(client.enqueue("bench_clock", PAYLOAD), 10.0)
    if view.status not in SUCCEEDED:
        raise BenchFailed(f"a job is still {view.status} after ten seconds on an idle worker")
    return (msgspec.json.decode(view.result, type=int) - sent) / 1e6


@contextmanager
def _worker(settings: Settings) -> Iterator[Process]:
    environ = dict(os.environ)
    for name, text in {
        "REDIS_URL": settings.redis_url,
        "GOPHER_NAMESPACE": settings.namespace,
        "GOPHER_HANDLERS": "gopher.cli.bench_handlers",
        "WORKER_QUEUES": "default",
        "LOG_LEVEL": "warning",
    }.items():
        override(environ, name, text)
    processes = Processes(lambda name, line: click.echo(printable(line), err=True), environ)
    try:
        yield processes.start("worker", gopherctl("worker"))
        processes.stop(["worker"], 10.0)
    finally:
        processes.close()


@contextmanager
def _removed_afterwards(client: Client) -> Iterator[None]:
    """Delete every key of the client's namespace at the end: it is used by this benchmark only."""
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
        ("enqueue one by one", f"{found.enqueue_one_by_one:,.0f} jobs/s", enqueue),
        ("enqueue in bulk", f"{found.enqueue_bulk:,.0f} jobs/s", ""),
        (f"drain with {found.children} children", f"{found.drain:,.0f} jobs/s", drain),
        ("pick-up latency p50", f"{found.pick_up_p50_ms:.2f} ms", f"a PING takes {found.server_round_trip_ms:.2f} ms"),
        ("pick-up latency p99", f"{found.pick_up_p99_ms:.2f} ms", ""),
        ("server: LPUSH", f"{found.server_lpush:,.0f} /s", "one client, one per round trip"),
        ("server: BRPOPLPUSH + LREM", f"{found.server_brpoplpush_lrem:,.0f} /s", "one client, one per round trip"),
    ]
    out.table(("benchmark", "result", "compared with"), rows, empty="no results")

"""`python -m benchmarks.durability`: what submissions cost that a replica confirms.

A primary with one replica, both with AOF. Submissions with each durability, one by one, from eight threads that share
round trips, and in batches of 100; interleaved in ROUNDS (30) rounds, so that noise affects all. Prints the CPU time of
the primary per job, all of its threads, and the median time of a call, both also as ratios to `stored`.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from gopher.base.durability import REPLICATED, STORED, SYNCED
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.jobs.submission import JobFields
from gopher.server.embedded import EmbeddedServer

from .lab import OPTIONS, free_port
from .numbers import ratios, shown
from .server import program

_SINGLE, _THREADS, _BATCH, _BATCHES = 200, 8, 100, 10


def one_by_one(client: Client, durability: str) -> list[float]:
    return [_timed(lambda: client.enqueue("noop", {"n": 1}, durability=durability)) for _ in range(_SINGLE)]


def from_threads(client: Client, durability: str) -> list[float]:
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda _: one_by_one(client, durability), range(_THREADS))
        return [each for times in found for each in times]


def in_batches(client: Client, durability: str) -> list[float]:
    jobs: list[JobFields] = [{"type": "noop", "payload": {"n": 1}, "durability": durability}] * _BATCH
    times = [_timed(lambda: client.enqueue_many(jobs)) for _ in range(_BATCHES)]
    return [each for each in times for _ in range(_BATCH)]


#: How jobs are submitted, and with which durabilities; one by one, synced would take a second each.
_WAYS: tuple[tuple[str, Callable[[Client, str], list[float]], tuple[str, ...]], ...] = (
    ("one by one", one_by_one, (STORED, REPLICATED)),
    ("8 threads", from_threads, (STORED, REPLICATED)),
    ("batches of 100", in_batches, (STORED, REPLICATED)),
)


def main() -> int:
    rounds = int(os.environ.get("ROUNDS", "30"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gopher-durability-")))
        primary, replica = (
            stack.enter_context(EmbeddedServer(folder / name, program=program(), options=OPTIONS, port=free_port()))
            for name in ("primary", "replica")
        )
        admin = stack.enter_context(Redis(port=replica.port))
        admin.replicaof("127.0.0.1", str(primary.port))
        settings = Settings.from_env({"REDIS_URL": f"redis://127.0.0.1:{primary.port}"})
        client = stack.enter_context(Client(settings=settings, auto_pipelining=True))
        while admin.info("replication")["master_link_status"] != "up":
            time.sleep(0.1)
        for name, submit, durabilities in _WAYS:
            _compare(name, submit, durabilities, client, primary.pid or 0, rounds)
        began = time.perf_counter()
        for _ in range(5):
            client.enqueue("noop", {}, durability=SYNCED)
        print(f"synced, appendfsync everysec: {(time.perf_counter() - began) / 5:.2f} s a call")
    return 0


def _compare(
    name: str,
    submit: Callable[[Client, str], list[float]],
    durabilities: tuple[str, ...],
    client: Client,
    pid: int,
    rounds: int,
) -> None:
    cpu: dict[str, list[float]] = {each: [] for each in durabilities}
    took: dict[str, list[float]] = {each: [] for each in durabilities}
    for number in range(rounds + 1):
        for durability in durabilities if number % 2 else reversed(durabilities):
            before = _cpu(pid)
            times = submit(client, durability)
            # The first round warms up.
            if number:
                cpu[durability].append((_cpu(pid) - before) / len(times))
                took[durability].append(statistics.median(times))
    for durability in durabilities:
        print(
            f"{name}, {durability}: server CPU {shown(statistics.median(cpu[durability]))} us a job "
            f"({ratios(cpu[durability], cpu[STORED]).median:.2f} x), "
            f"call {shown(statistics.median(took[durability]))} us "
            f"({ratios(took[durability], took[STORED]).median:.2f} x)",
            flush=True,
        )


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e6


def _cpu(pid: int) -> float:
    """Return the CPU time of a process and its threads in microseconds."""
    paths = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in paths) / 1000


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.cancelling`: cancel many of very many waiting jobs by a filter, while others are served.

Stores WAITING (1000000) jobs, a tenth of them of one type, which are cancelled by `cancel_matching` and a scheduler. A
worker with two children runs the other types, 20 ms each, and a high-priority job comes each 50 ms: prints how long
those waited, before and during the cancellation, and how long that took.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gopher import Job, handler
from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_id
from gopher.server.embedded import EmbeddedServer

from .lab import free_port, parts
from .server import program

_BULK, _UNWANTED, _EVERY = 1000, "unwanted", 0.05


@handler("nap", timeout=30)
def nap(job: Job, payload: dict[str, int]) -> None:
    """Takes 20 ms."""
    time.sleep(0.02)


@handler("probe", timeout=30)
def probe(job: Job, payload: dict[str, float]) -> float:
    """Returns for how long it has waited (ms)."""
    return (time.time() - payload["sent"]) * 1000


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="gopher-cancelling-"))
    try:
        with (
            EmbeddedServer(folder, program=program(), port=free_port(), options={"appendonly": "no"}) as server,
            Client(server.tcp_url) as client,
        ):
            _measure(client, server.tcp_url, int(os.environ.get("WAITING", "1000000")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _measure(client: Client, url: str, waiting: int) -> None:
    seconds = float(os.environ.get("SECONDS", "15"))
    for start in range(0, waiting, _BULK):
        client.store([_job(start + each) for each in range(_BULK)])
    environ = {"REDIS_URL": url, "GOPHER_HANDLERS": "benchmarks.cancelling", "WORKER_CONCURRENCY": "2"}
    with parts(environ, "worker", "scheduler"):
        _probe(client, lambda probes: len(probes) == 20)
        before = _probe(client, lambda probes: len(probes) * _EVERY >= seconds)
        began = time.perf_counter()
        client.waiting.cancel_matching(job_type=_UNWANTED)
        during = _probe(client, lambda _ids: client.waiting.cancellations()[0].status == "finished")
        lasted = time.perf_counter() - began
    print(f"{client.waiting.cancellations()[0].cancelled:,} of {waiting:,} jobs were cancelled in {lasted:.1f} s")
    p95 = [statistics.quantiles(each, n=20)[-1] for each in (before, during)]
    for name, waits, most in (("before", before, p95[0]), ("meanwhile", during, p95[1])):
        print(
            f"{name}: {len(waits)} high-priority jobs waited {statistics.median(waits):.1f} ms, half of them, ", end=""
        )
        print(f"and 95 % at most {most:.1f} ms")
    print(f"ratio of these: {p95[1] / p95[0]:.2f}")


def _job(number: int) -> NewJob:
    return NewJob(new_job_id(), _UNWANTED if number % 10 == 5 else "nap", b'{"payload":{"n":%d}}' % number)


def _probe(client: Client, is_over: Callable[[list[str]], bool]) -> Sequence[float]:
    """Send high-priority jobs until it is over; return for how many ms each has waited."""
    ids: list[str] = []
    while not is_over(ids):
        ids.append(client.enqueue("probe", {"sent": time.time()}, priority="high"))
        time.sleep(_EVERY)
    return [float(bytes(client.wait(job_id, 60).result)) for job_id in ids]


if __name__ == "__main__":
    sys.exit(main())

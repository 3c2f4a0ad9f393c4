"""`python -m benchmarks.crowded`: response times of lists with very many jobs.

Stores PENDING (1000000) waiting and DEAD (100000) dead jobs of several types with the real scripts, starts the API, and
requests each list and each page of the dashboard ASK (100) times. The jobs are of TENANTS (0) tenants. Prints, in ms,
the CPU time of the API and the server together, which is the response time on an otherwise idle machine, and the median
and the 95th percentile of the response time.
"""

import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from gopher.base.priorities import DEFAULT_PRIORITY, PRIORITIES
from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Failure
from gopher.server.embedded import EmbeddedServer

from .lab import free_port
from .server import program

_TYPES = [f"type-{number}" for number in range(20)]
_RARE = "rare"
_ERRORS = ["ValueError", "TimeoutError", "ConnectionError", "KeyError"]
_PLACES = [f"shop/jobs.py:{line} work" for line in range(10, 13)]
_ROW = b'{"attempt":1,"outcome":"failed","worker":"w","started_at":1790000000000,"ended_at":1790000000012}'
_PAGES = ["", "/jobs", "/jobs?status=pending&type=rare", "/queues", "/types", "/types/type-3", "/tenants", "/dead"]
_TENANTS = int(os.environ.get("TENANTS", "0"))
#: Jobs per call.
_BULK = 1000


def main() -> int:
    pending, dead = int(os.environ.get("PENDING", "1000000")), int(os.environ.get("DEAD", "100000"))
    folder = Path(tempfile.mkdtemp(prefix="gopher-crowded-"))
    try:
        with EmbeddedServer(folder, program=program(), port=free_port(), options={"appendonly": "no"}) as server:
            with Client(server.tcp_url) as client:
                _fill(client, pending, dead)
                used = client.server.client.info("memory")["used_memory"]
            print(f"{pending:,} pending and {dead:,} dead jobs: {used / 2**20:,.0f} MiB", flush=True)
            with _api(server.tcp_url) as (http, pid):
                those = [psutil.Process(pid), *psutil.Process(pid).children(), psutil.Process(server.pid)]
                for name, ask in _questions(http):
                    _measure(name, ask, int(os.environ.get("ASK", "100")), those)
            for words in ("stats", "jobs --limit 20", "jobs --type rare", "list-failed", "list-failed --groups"):
                _measure(f"gopherctl {words}", lambda w=words: _ctl(server.tcp_url, w), 5, [psutil.Process()])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _fill(client: Client, pending: int, dead: int) -> None:
    random.seed(1)
    began = time.perf_counter()
    _bury(client, dead)
    print(f"the dead took {time.perf_counter() - began:.0f} s", flush=True)
    for start in range(0, pending, _BULK):
        client.store([_job(start + each) for each in range(min(_BULK, pending - start))])
    print(f"all took {time.perf_counter() - began:.0f} s", flush=True)


def _job(number: int) -> NewJob:
    job_type = _RARE if number % 10_000 == 5_000 else random.choice(_TYPES)
    priority = random.choices(PRIORITIES, [8 if name == DEFAULT_PRIORITY else 1 for name in PRIORITIES])[0]
    tenant = f"tenant-{number % _TENANTS}" if _TENANTS else ""
    envelope = b'{"payload":{"to":"user@example.com","n":%d}}' % number
    return NewJob(new_job_id(), job_type, envelope, priority=priority, tenant=tenant)


def _bury(client: Client, count: int) -> None:
    queue, run = client.server.queue("default"), client.server.run
    run(queue.heartbeat("w", 3600.0, first=True))
    numbers = itertools.count(1, _BULK)
    for start in range(0, count, _BULK):
        client.store([_job(start + each) for each in range(min(_BULK, count - start))])
        for job in run(queue.fetch("w", _BULK, next(numbers), "hnl", strict=True)).jobs:
            error = random.choice(_ERRORS)
            text = b'{"type":"%s","message":"it broke","traceback":"...","permanent":false}' % error.encode()
            failure = Failure(job.id, job.token, 12.0, text, _ROW, b"", "")
            run(queue.dead_letter("w", failure, error, random.choice(_PLACES)))


@contextmanager
def _api(url: str) -> Iterator[tuple[httpx.Client, int]]:
    port = free_port()
    environ = {**os.environ, "REDIS_URL": url, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gopher.app"], env={**environ, "LOG_LEVEL": "error", "WEB_CONCURRENCY": "1"}
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            while True:
                try:
                    http.get("/health/live")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield http, process.pid
    finally:
        process.terminate()
        process.wait()


def _questions(http: httpx.Client) -> Iterator[tuple[str, Callable[[], Any]]]:
    group = http.get("/api/v1/dlq/groups").json()["groups"][0]["group"]
    for path in (
        "/api/v1/jobs",
        "/api/v1/jobs?status=pending",
        "/api/v1/jobs?status=pending&type=type-3",
        "/api/v1/jobs?status=pending&type=rare",
        "/api/v1/jobs?status=failed",
        "/api/v1/jobs?status=failed&type=rare",
        "/api/v1/jobs?queue=default&limit=500",
        "/api/v1/dlq",
        "/api/v1/dlq?error=KeyError",
        "/api/v1/dlq?type=rare",
        f"/api/v1/dlq?group={group}",
        "/api/v1/dlq/groups",
        "/api/v1/queue/stats",
        "/metrics",
    ):
        yield f"GET {path}", lambda path=path: _get(http, path)
    job_id = http.get("/api/v1/dlq").json()["jobs"][0]["job_id"]
    for page in (*_PAGES, f"/jobs/{job_id}"):
        yield f"the page /dashboard{page}", lambda page=page: http.get(f"/dashboard{page}").raise_for_status()
    for path in ("/api/v1/jobs?status=pending", "/api/v1/dlq", "/api/v1/dlq?error=KeyError"):
        cursors = _deep_cursors(http, path)
        yield f"GET {path}, the next page, deep", lambda path=path, cursors=cursors: _get(http, path, next(cursors))


def _deep_cursors(http: httpx.Client, path: str) -> Iterator[str]:
    """Yield the cursors of successive pages, after 30 large pages."""
    cursor = None
    for _ in range(30):
        cursor = _get(http, path, cursor, limit=500)["next_cursor"]
    while True:
        yield cursor
        cursor = _get(http, path, cursor)["next_cursor"]


def _get(http: httpx.Client, path: str, cursor: str | None = None, **parameters: Any) -> Any:
    given = {**parameters, **({"cursor": cursor} if cursor else {})}
    answer = http.get(path, params=httpx.URL(path).params.merge(given))
    answer.raise_for_status()
    return answer.json() if path.startswith("/api") else None


def _ctl(url: str, words: str) -> None:
    command = [sys.executable, "-m", "gopher.cli", *words.split(), "--redis-url", url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _measure(name: str, ask: Callable[[], Any], count: int, those: list[psutil.Process]) -> None:
    ask()
    before, times = _spent(those), []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    spent = (_spent(those) - before) / count * 1000
    p95 = sorted(times)[min(int(count * 0.95), count - 1)]
    print(f"{name:70} {spent:8.1f} {statistics.median(times):8.1f} {p95:8.1f}", flush=True)


def _spent(those: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes, including ended children."""
    return sum(sum(process.cpu_times()[:4]) for process in those)


if __name__ == "__main__":
    raise SystemExit(main())

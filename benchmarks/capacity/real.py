"""The real run: a server, a scheduler and workers whose number follows the answer, and the same jobs in the simulation.

Workers have one process each. One that is no longer needed is told to be quiet, and stops once it runs no job.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import Any

from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.errors import WorkerNotFound
from gopher.reads.capacity.staffing import INTERVAL
from gopher.server.embedded import EmbeddedServer

from .policies import by_capacity
from .simulation import Simulation, follow
from .workload import Arrival, Bursts, Stream, about, arrivals, between, constant

LENGTH, WITHIN, SEED = 300.0, 60.0, 7
#: Small enough for a machine of two cores: its jobs sleep.
MINUTES: tuple[Stream | Bursts, ...] = (
    Stream("email", constant(1.0), 1.0, about(0.8, 0.3)),
    Stream("video", constant(1 / 75), 1 / 75, between(40.0, 90.0)),
    Bursts("report", 100.0, (15, 40), about(2.0)),
)


class Fleet:
    """Workers that can be started and told to leave."""

    def __init__(self, client: Client, environ: dict[str, str], folder: Path) -> None:
        self._client, self._environ, self._folder = client, environ, folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._leaving: list[subprocess.Popen[bytes]] = []
        self.process_seconds = 0.0
        self._counted_at = time.monotonic()

    def scale(self, wanted: int) -> None:
        while len(self._running) < wanted:
            self._running.append(_start("worker", self._environ, self._folder))
        while len(self._running) > wanted:
            leaving = self._running.pop()
            for worker in self._client.workers():
                if worker.pid == leaving.pid:
                    self._client.fleet.quiet(worker.id)
            self._leaving.append(leaving)

    def look(self) -> None:
        """Let those exit that have finished their jobs, and count the seconds of all."""
        now = time.monotonic()
        self._leaving = [each for each in self._leaving if each.poll() is None]
        self.process_seconds += (now - self._counted_at) * (len(self._running) + len(self._leaving))
        self._counted_at = now
        quiet = {worker.pid: worker for worker in self._client.workers() if worker.state == "quiet"}
        for each in self._leaving:
            worker = quiet.get(each.pid)
            if worker is not None and all(child.job_id is None for child in worker.children):
                # It may have exited meanwhile.
                with suppress(WorkerNotFound):
                    self._client.fleet.stop(worker.id)

    def end(self) -> None:
        for each in (*self._running, *self._leaving):
            each.terminate()
        for each in (*self._running, *self._leaving):
            each.wait(60)


def run(length: float = LENGTH) -> dict[str, Any]:
    """Return what the real run and the simulation of the same jobs have found."""
    jobs = arrivals(MINUTES, SEED, length)
    with _system() as (client, environ, folder):
        fleet = Fleet(client, environ, folder)
        try:
            real = _follow(client, fleet, jobs, length)
        finally:
            fleet.end()
    model = follow(Simulation(jobs, starting=real["starting"]), by_capacity(WITHIN), length)
    return {
        "jobs": len(jobs),
        "work": round(sum(job.seconds for job in jobs)),
        "real": real,
        "model": {
            "within": round(model.share_within(WITHIN), 4),
            "p95": round(quantiles(model.waits, n=20)[-1], 1),
            "process_seconds": round(model.process_seconds),
            "processes": model.wanted,
        },
    }


def _follow(client: Client, fleet: Fleet, jobs: Sequence[Arrival], length: float) -> dict[str, Any]:
    fleet.scale(1)
    begun = time.monotonic()
    _until(client.workers, "the first worker")
    starting = time.monotonic() - begun
    ids: list[str] = []
    wanted: list[int] = []
    started = time.monotonic()
    next_look = INTERVAL
    while (now := time.monotonic() - started) < length or client.stats().queue_size:
        while len(ids) < len(jobs) and jobs[len(ids)].at <= now:
            job = jobs[len(ids)]
            ids.append(client.enqueue(job.type, {"seconds": job.seconds}, timeout="10m"))
        if now >= next_look:
            wanted.append(max(client.capacity().needed_processes, 1))
            fleet.scale(wanted[-1])
            next_look += INTERVAL
            print(f"{now:.0f} s: {wanted[-1]} workers, {len(ids)} jobs", flush=True)
        fleet.look()
        time.sleep(0.1)
    _until(lambda: not client.stats().queues["default"].processing, "the jobs to end", fleet.look)
    fleet.look()
    views = [client.job(job_id) for job_id in ids]
    waits = [
        (from_rfc3339(view.started_at) - from_rfc3339(view.created_at)) / 1000 for view in views if view.started_at
    ]
    return {
        "within": round(sum(wait <= WITHIN for wait in waits) / len(views), 4),
        "p95": round(quantiles(waits, n=20)[-1], 1),
        "process_seconds": round(fleet.process_seconds),
        "processes": wanted,
        "interrupted": sum(view.attempts != 1 for view in views),
        "starting": round(starting, 1),
    }


@contextmanager
def _system() -> Iterator[tuple[Client, dict[str, str], Path]]:
    """Run a server and a scheduler; yield a client, the environment of workers, and their folder."""
    with tempfile.TemporaryDirectory(prefix="gopher-capacity-") as name:
        folder = Path(name)
        with EmbeddedServer(folder / "data") as server:
            url = server.url
            environ = {
                **os.environ,
                "REDIS_URL": url,
                "GOPHER_HANDLERS": "benchmarks.capacity.handlers",
                "WORKER_CONCURRENCY": "1",
                "WORKER_SHUTDOWN_TIMEOUT": "60s",
            }
            scheduler = _start("scheduler", environ, folder)
            try:
                with Client(url) as client:
                    yield client, environ, folder
            finally:
                scheduler.terminate()
                scheduler.wait(30)


def _start(part: str, environ: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gopher.cli", part], env=environ, stdout=log, stderr=log, start_new_session=True
        )


def _until(is_so: Any, what: str, meanwhile: Any = lambda: None) -> None:
    deadline = time.monotonic() + 240
    while not is_so():
        meanwhile()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took too long")
        time.sleep(0.2)

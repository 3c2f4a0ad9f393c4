"""A move of many jobs whose `gopherctl export` and `gopherctl import` are killed again and again, and repeated.

    python -m tests.transfer.trial --jobs 1000000 --kills 20

Jobs of the target are run while they arrive, and leave no record: a job that is imported again would run again.
"""

# ruff: noqa: T201 - a program

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from gopher.cli.processes import gopherctl

from gopher.base.priorities import PRIORITIES
from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_ids
from gopher.queue.invariants import findings
from gopher.server.embedded import EmbeddedServer
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

QUEUES = ("default", "mail")
#: Jobs per call while seeding.
_TOGETHER = 1000
_ENVELOPE = b'{"payload":{"to":"someone@example.org","number":%d}}'
#: Invariants are read as a whole: only up to this many jobs.
_CHECKED = 100_000


@dataclass
class Report:
    """What was found."""

    jobs: int = 0
    kills: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    #: Largest resident memory of any of the processes (MB), by command.
    memory: dict[str, int] = field(default_factory=dict)
    file_size: int = 0
    ran: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds:.0f} s ({self.memory[name]} MB)" for name, seconds in self.seconds.items())
        return (
            f"{self.jobs:,} jobs, {self.file_size / 2**20:,.0f} MiB, {self.kills} kills: {times}; {self.ran:,} ran on "
            f"the way; lost={self.lost} doubled={self.doubled} wrong={self.wrong}"
        )


class Trial:
    """The two installations, and what is done to them."""

    def __init__(self, source: tuple[str, str], target: tuple[str, str], folder: Path) -> None:
        self.source = Client(source[0], namespace=source[1])
        self.target = Client(target[0], namespace=target[1])
        self.file = folder / "jobs.ndjson"
        self._folder = folder
        self.report = Report()
        self._ids: set[str] = set()
        self._ran = Counter[str]()

    def run(self, jobs: int, kills: int) -> Report:
        self._seed(jobs)
        self.report.jobs = len(self._ids)
        self._killed(self.source, "export", kills, self._exported)
        self.report.file_size = self.file.stat().st_size
        with self._running():
            self._killed(self.target, "import", kills, self._imported)
        self._examine()
        return self.report

    def _seed(self, jobs: int) -> None:
        """Store jobs in all kinds of states; half of them leave no record once they have ended."""
        for queue in QUEUES:
            share = jobs // len(QUEUES)
            self.source.server.register_queues(queue)
            calls = self.source.server.queue(queue)
            for at in range(0, share, _TOGETHER):
                ids = new_job_ids(min(_TOGETHER, share - at), queue)
                new = [_job(job_id, at + number, queue) for number, job_id in enumerate(ids)]
                self.source.server.run(calls.enqueue(new))
                self._ids |= set(ids)
            worker = SeedingWorker(self.source, queue)
            for job in worker.fetch(20):
                worker.dead_letter(job)
            worker.fetch(20)
            self._relate(queue)

    def _relate(self, queue: str) -> None:
        parents = [self.source.enqueue("email", {}, queue=queue, delay=3600) for _ in range(50)]
        for number in range(200):
            given = parents[number % 50 :][:3]
            parents.append(self.source.enqueue("email", {}, queue=queue, after=given, unique_key=f"k{number}"))
        self._ids |= set(parents)

    def _killed(self, client: Client, command: str, kills: int, progress: Callable[[], int]) -> None:
        """Run a command, kill it whenever it has come further by a part, and repeat it until it has ended."""
        began, part, most = time.monotonic(), self.report.jobs // (kills + 1) or 1, 0
        # Without a bar, which needs a terminal.
        environ = {**os.environ, "REDIS_URL": client.settings.redis_url, "GOPHER_NAMESPACE": client.settings.namespace}
        for number in range(1, kills + 2):
            with open(self._folder / "messages.txt", "ab") as messages:
                process = subprocess.Popen(
                    gopherctl(command, str(self.file)), env=environ, stdout=messages, stderr=messages
                )
            threshold = number * part if number <= kills else sys.maxsize
            most = max(most, _watch(process, progress, threshold))
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.report.kills += process.returncode == -signal.SIGKILL
        self.report.seconds[command], self.report.memory[command] = time.monotonic() - began, most
        if process.returncode:
            self.report.wrong.append((self._folder / "messages.txt").read_text()[-500:])

    def _exported(self) -> int:
        try:
            return int(msgspec.json.decode((self.file.parent / f"{self.file.name}.progress").read_bytes())["ids"])
        except (OSError, msgspec.MsgspecError):
            return 0

    def _imported(self) -> int:
        return sum(each.total_enqueued for each in self.target.stats().queues.values())

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Run jobs in the target as they arrive."""
        stopping = threading.Event()
        threads = [threading.Thread(target=self._work, args=(queue, stopping)) for queue in QUEUES]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def _work(self, queue: str, stopping: threading.Event) -> None:
        with Client(self.target.settings.redis_url, namespace=self.target.settings.namespace) as client:
            worker = SeedingWorker(client, queue)
            while not stopping.wait(0.02):
                worker.beat()
                if jobs := worker.fetch(50):
                    worker.complete(jobs)
                    self._ran.update(job.id for job in jobs)

    def _examine(self) -> None:
        """Compare what has arrived, or has run, with what was there."""
        found = Counter(self._ran)
        found.subtract(dict.fromkeys(self._ran, 0))
        client = self.target.server.client
        for queue in QUEUES:
            keys = self.target.server.keys.for_queue(queue)
            for place in (keys.next, *map(keys.pending, PRIORITIES)):
                found.update(each.decode() for each in client.lrange(place, 0, -1))
            for place in (keys.scheduled, keys.retrying, keys.failed):
                found.update(each.decode() for each in client.zrange(place, 0, -1))
            if self.report.jobs <= _CHECKED:
                self.report.wrong += findings(client, keys)
            source = self.source.server.keys.for_queue(queue)
            if left := list(self.source.server.client.scan_iter(match=f"{source.prefix}copied*", count=10_000)):
                self.report.wrong.append(f"copies are left: {left}")
        self.report.ran = len(self._ran)
        self.report.lost = len(self._ids - set(found))
        self.report.doubled = sum(count - 1 for count in found.values() if count > 1)
        if strange := set(found) - self._ids:
            self.report.wrong.append(f"{len(strange)} jobs come from nowhere")


def _watch(process: "subprocess.Popen[bytes]", progress: Callable[[], int], threshold: int) -> int:
    """Wait until a process has come so far, or has ended; return its largest resident memory (MB)."""
    most = 0

    def has_come() -> bool:
        nonlocal most
        most = max(most, _memory_of(process.pid))
        return process.poll() is not None or progress() >= threshold

    wait_until(has_come, 3600.0, f"progress {threshold}")
    return most


def _memory_of(pid: int) -> int:
    """Return a process's peak. (That of `wait4` would count this process, too, before it has become the other.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found and "gopher" in Path(f"/proc/{pid}/cmdline").read_text() else 0


def _job(job_id: str, number: int, queue: str) -> NewJob:
    priority = PRIORITIES[number % len(PRIORITIES)]
    due = str((int(time.time()) + 86_400) * 1000) if number % 20 == 0 else ""
    # Every second one leaves no record.
    return NewJob(job_id, "email", _ENVELOPE % number, queue, priority, due=due, retention=0.0 if number % 2 else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gopher-move-") as folder:
        options = {"appendonly": "no"}
        paths = [Path(folder) / name for name in ("a", "b")]
        with EmbeddedServer(paths[0], options=options) as one, EmbeddedServer(paths[1], options=options) as other:
            print(Trial((one.url, "old"), (other.url, "new"), Path(folder)).run(arguments.jobs, arguments.kills))


if __name__ == "__main__":
    main()

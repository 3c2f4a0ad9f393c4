"""Gopher's processes on a server of any kind: the API, two workers of two children, a scheduler; and a load that is
paced, over several queues.
"""

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
from redis.exceptions import RedisError

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import GopherError
from tests.faults.ledger import VARIABLE, Entry, parse
from tests.faults.load import Load
from tests.helpers import free_ports, wait_until
from tests.worker.processes import Process

#: With which HireFire may ask.
TOKEN = "a-token-of-a-stack"
#: In a cluster they lie on all three nodes.
QUEUES = ("mail", "default", "sms", "images")
#: Seconds for which a test's own client waits for a reply: longer than a busy machine pauses.
TIMEOUT = 30.0
#: Seconds of a load that may wait for workers.
BACKLOG = 2.0


class Stack:
    """All of Gopher's processes. A context manager."""

    def __init__(self, url: str, queues: Sequence[str], **environ: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-stack-"))
        self.ledger = self.folder / "ledger"
        self.queues = queues
        # What an earlier one has left behind is none of its.
        self.namespace = f"stack-{uuid4().hex[:8]}"
        (self.port,) = free_ports(1)
        self.environ = {
            "REDIS_URL": url,
            "GOPHER_NAMESPACE": self.namespace,
            "GOPHER_HANDLERS": "tests.faults.handlers,gopher.handlers",
            "WORKER_QUEUES": ",".join(queues),
            "WORKER_CONCURRENCY": "2",
            # A child on a busy machine needs time to react before it counts as one that does not.
            "WORKER_KILL_GRACE": "10s",
            "LOG_FORMAT": "json",
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "HIREFIRE_TOKEN": TOKEN,
            VARIABLE: str(self.ledger),
            **environ,
        }
        self.client = Client(
            settings=replace(Settings.for_client(url, namespace=self.namespace), redis_timeout=TIMEOUT)
        )
        self.processes: list[Process] = []
        self._events: list[Entry] = []
        #: Bytes of the ledger that have been read.
        self._read = 0

    def __enter__(self) -> "Stack":
        try:
            for part in ("app", "worker", "worker", "scheduler"):
                self.processes.append(Process(part, self.environ, self.folder))
            wait_until(self._complete, 60, "all processes to be there")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.destroy()
        self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _complete(self) -> bool:
        for process in self.processes:
            assert process.running, f"the {process.part} has ended:\n{process.log}"
        try:
            if httpx.get(f"{self.address}/health/ready", timeout=20).status_code != 200:
                return False
        except httpx.TransportError:
            return False
        # A worker shows itself before its children are there.
        workers = [view for view in self.client.workers() if view.children]
        return len(workers) == 2 and self.client.inspector.schedulers() == 1

    def descriptors(self) -> int:
        """Return how many open files and connections all processes have."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for process in self.processes for pid in process.session())

    def events(self) -> list[Entry]:
        """Return all events until now, in a list that grows with each call: only what is new is read."""
        if self.ledger.exists():
            with self.ledger.open("rb") as file:
                file.seek(self._read)
                text = file.read().decode()
            self._events += parse(text)
            self._read += text.rfind("\n") + 1
        return self._events

    def states(self, jobs: Sequence[tuple[str, str]]) -> dict[str, str | None]:
        """Return the state of each job of (id, queue); None where nothing is known of it."""
        found: dict[str, str | None] = {}
        for at in range(0, len(jobs), 1000):
            some = jobs[at : at + 1000]
            states = self.client.inspector.states([(queue, job_id) for job_id, queue in some])
            found |= zip((job_id for job_id, _ in some), states, strict=True)
        return found

    def record(self, job_id: str) -> dict[str, object]:
        """Return all that is known of a job, for who wonders: its record, what its queue's workers hold, its events."""
        client, found = self.client.server.client, {}
        for keys in (self.client.server.keys.for_queue(queue) for queue in self.queues):
            if record := client.hgetall(keys.job(job_id)):
                held = {name: client.lrange(name, 0, -1) for name in client.scan_iter(match=keys.processing("*"))}
                waiting = {name: client.lrange(keys.pending(name), 0, -1) for name in ("high", "normal", "low")}
                workers = client.zrange(keys.workers, 0, -1, withscores=True)
                found[keys.queue] = (record, held, waiting, client.lrange(keys.next, 0, -1), workers)
        return {**found, "events": [entry for entry in self.events() if entry.job_id == job_id]}

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def describe(self) -> str:
        """Return how all processes are, and the last that each has logged, for who wonders why nothing goes on."""
        lines: list[str] = []
        for process in self.processes:
            lines += [f"{process.part}, running: {process.running}:", *process.log.splitlines()[-10:]]
        return "\n".join(lines)


class PacedLoad(Load):
    """Submits `rate` jobs a second, over the queues in turn, until it is stopped: what could not be sent in time is
    sent as soon as it can be. A thread submits to one queue only, so that none waits for another queue's node.

    It pauses while workers can't keep up: those of a busy machine would do nothing of their last queue.
    """

    def __init__(self, stack: Stack, rate: float, *, threads: int = 16) -> None:
        super().__init__(stack.address, 1_000_000, threads=threads)
        self.rate = rate
        #: When each job was acknowledged (monotonic s), when the request for it was sent, and its queue, by id.
        self.accepted_at: dict[str, float] = {}
        self.sent_at: dict[str, float] = {}
        self.queue_of: dict[str, str] = {}
        self._queues = stack.queues
        self._began = time.monotonic()
        self._next_lock = threading.Lock()
        self._numbers_of = [itertools.count(at, len(self._queues)) for at in range(len(self._queues))]
        self._places = itertools.cycle(range(len(self._queues)))
        self._mine = threading.local()
        self._may_send = threading.Event()
        self._may_send.set()
        self._stack = stack
        self._threads.append(threading.Thread(target=self._heed_the_backlog))

    def _heed_the_backlog(self) -> None:
        # Who knows nothing of a server that is lost does not wait for it.
        with Client(settings=replace(self._stack.client.settings, redis_timeout=2.0)) as client:
            while not self._ended and not self._stopped.wait(0.25):
                try:
                    waiting = client.stats().queue_size
                except (GopherError, RedisError, OSError):
                    waiting = 0
                (self._may_send.set if waiting <= BACKLOG * self.rate else self._may_send.clear)()
        self._may_send.set()

    def stop(self) -> None:
        """Send no more; what is being sent is repeated until it is acknowledged."""
        self._ended = True
        self.join()

    _ended = False

    def _next(self) -> int | None:
        with self._next_lock:
            if self._ended or self._stopped.is_set():
                return None
            if not hasattr(self._mine, "numbers"):
                self._mine.numbers = self._numbers_of[next(self._places)]
            number = next(self._mine.numbers)
        self._may_send.wait()
        time.sleep(max(self._began + number / self.rate - time.monotonic(), 0.0))
        return number

    def _body(self, number: str) -> dict[str, object]:
        count = int(number.rpartition("-")[2])
        # One in twenty takes a while, so that some run when a primary is killed.
        payload = {"number": number, "seconds": 0.2 if count % 20 == 7 else 0.005}
        return {**super()._body(number), "payload": payload, "queue": self._queues[count % len(self._queues)]}

    def _accepted(self, answer: httpx.Response, number: str, may_be_stored: bool, sent: float) -> bool:
        taken = super()._accepted(answer, number, may_be_stored, sent)
        if answer.status_code == 201:
            job_id = answer.json()["job_id"]
            self.sent_at[job_id], self.accepted_at[job_id] = sent, time.monotonic()
            self.queue_of[job_id] = str(self._body(number)["queue"])
        return taken

"""A server with a client, a worker by hand, and what is read of it before and after a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.lab import Lab
from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Completion
from gopher.server.calls import Call

from .costs import FLOWS

QUEUE = "default"
#: As long as the id of a real worker.
WORKER = "worker-1-12345-0123456789abcdef"
_SECTIONS = ("cpu", "stats", "persistence", "commandstats")


class Measured:
    """What a run took of each resource, once it has ended."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.flows: dict[str, float] = {}
        #: Calls of scripts.
        self.scripts = 0


class Bench:
    """The server, and the calls of a worker that are made by hand."""

    def __init__(self, made: Lab) -> None:
        self.lab = made
        self.client = Client(made.url)
        self.queue = self.client.server.queue(QUEUE)
        self._number = 1
        self._submitted = 0
        self._held: list[Completion] = []
        self.run(self.queue.heartbeat(WORKER, 3600, first=True))
        # It registers the queue, which schedulers know from then on.
        self.client.enqueue("noop", {})
        self.settle()

    def run(self, call: Call) -> Any:
        return self.client.server.run(call)

    @contextmanager
    def measured(self) -> Iterator[Measured]:
        """Measure what the server does meanwhile."""
        found = Measured()
        # The first one shows what reading costs by itself.
        first, before, began = self._read(), self._read(), time.monotonic()
        yield found
        found.seconds, after = time.monotonic() - began, self._read()
        found.flows = {name: after[name] - before[name] - (before[name] - first[name]) for name in FLOWS}
        found.scripts = int(after["scripts"] - before["scripts"])

    def _read(self) -> dict[str, float]:
        info = self.lab.redis.info(*_SECTIONS)
        return {
            "cpu": (info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
            "received": info["total_net_input_bytes"],
            "sent": info["total_net_output_bytes"],
            "aof": info["aof_current_size"],
            "scripts": info.get("cmdstat_evalsha", {}).get("calls", 0),
        }

    def memory(self) -> int:
        """Return the bytes of memory, without buffers that come and go."""
        info = self.lab.redis.info("memory")
        return int(info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"])

    def submit(self, kilobytes: float, batch: int, count: int, due: str = "") -> None:
        """Submit jobs in calls of `batch`."""
        for at in range(0, count, batch):
            some = min(batch, count - at)
            numbers = range(self._submitted, self._submitted + some)
            self.run(self.queue.enqueue([job(kilobytes * spread(number), due) for number in numbers]))
            self._submitted += some

    def work(self, batch: int, result: bytes = b"") -> int:
        """Make a round trip of a busy worker; return how many jobs it has got."""
        calls = [self.queue.fetch(WORKER, batch, self._number, "hnhlhnhnh", strict=False)]
        if self._held:
            calls.insert(0, self.queue.complete(WORKER, self._held))
        fetched = self.client.server.run_all(calls)[-1]
        self._number = fetched.next_number
        self._held = [Completion(each.id, each.token, 1.0, result, b"") for each in fetched.jobs]
        return len(self._held)

    def settle(self) -> None:
        """Settle what is held, and work off what is waiting."""
        while self.work(100):
            pass
        self._held = []


def spread(number: int) -> float:
    """Return 0.5 to 1.5, 1 on average: how much a job's payload is of the mean. An allocator rounds each size up."""
    return 0.5 + number * 0.618034 % 1


def job(kilobytes: float, due: str = "", owner: str = "") -> NewJob:
    """Return a job whose payload is that long."""
    return NewJob(new_job_id(), "noop", payload(kilobytes), due=due, owner=owner)


def payload(kilobytes: float) -> bytes:
    text = b'{"x":"%b"}' % (b"y" * max(round(kilobytes * 1000) - 8, 0))
    return b'{"payload":%b}' % text

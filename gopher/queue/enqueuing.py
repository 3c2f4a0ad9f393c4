"""Stores the jobs of a submission, and waits until they are as durable as they have to be.

Each queue stores its jobs in one call, all or none.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gopher.base.durability import STORED, strongest
from gopher.errors import GopherError, NotReplicated
from gopher.jobs.job import NewJob
from gopher.server.calls import Call, Command, CountedCall
from gopher.telemetry.tracing import enqueuing

from .arguments import Request
from .bounds import Bounds
from .enqueued import Enqueued
from .idempotency import IdempotencyMismatch
from .keys import QUEUE_KEYS
from .new_jobs import NO_REQUEST
from .store import Server

if TYPE_CHECKING:
    from gopher.server.confirming import ConfirmingExecutor, Shortfall

#: Seconds for which the write that comes with a confirmed submission remains.
_REMAINS = "60"


class Storing(NamedTuple):
    """A submission that is being stored; `durability` is that of jobs that have none themselves."""

    request: Request | None
    patience: float
    durability: str
    #: Why queues have stored their jobs, but not as durably.
    shortfalls: "list[Shortfall]"


class Enqueuer:
    """Stores jobs, one call per queue. Threads share it.

    The connections for confirmed submissions are opened with the first one. At most `places` threads wait for replicas
    for long, any number by default.
    """

    def __init__(self, server: Server, connections: int, places: int | None, *, auto_pipelining: bool) -> None:
        self._server = server
        # Those that wait hold theirs for long.
        self._connections = connections + (places or 0)
        self._places = None if places is None else threading.BoundedSemaphore(places)
        self._auto_pipelining = auto_pipelining
        self._lock = threading.Lock()
        self._confirming: dict[str, ConfirmingExecutor] = {}

    def enqueue(
        self, name: str, jobs: Sequence[NewJob], request: Request | None, storing: Storing, bounds: Bounds | None
    ) -> Enqueued:
        """Store the jobs of one queue. Raises IdempotencyMismatch, a ServerError."""
        new_jobs = self._server.new_jobs(name)
        with enqueuing(name, jobs) as traced:
            call = new_jobs.enqueue(traced, request or NO_REQUEST, bounds)
            call = CountedCall(*call) if request else call
            # A large batch would delay others that share its round trip.
            shared = self._auto_pipelining and len(jobs) == 1
            durability = _durability(jobs, storing.durability)
            if durability == STORED:
                run = self._server.run_with_others if shared else self._server.run
                reply: Enqueued = run(call, patience=storing.patience)
            else:
                reply = self._confirm(call, durability, storing, shared=shared)
        if reply.kind == "MISMATCH":
            raise IdempotencyMismatch
        if self._server.pools.master_number and not self._server.names.is_known(name):
            # Another master may have stored them than the one where the queue was registered.
            with suppress(GopherError):
                self._server.register_queues(name)
        if isinstance(call, CountedCall) and call.times_sent > 1 and request and reply.detail == request.answer:
            # This call has stored them itself, and was sent again since the reply was lost.
            return reply._replace(kind="OK")
        return reply

    def close(self) -> None:
        with self._lock:
            for executor in self._confirming.values():
                executor.close()

    def _confirm(self, call: Call, durability: str, storing: Storing, *, shared: bool) -> Enqueued:
        reply, shortfall = self._executor(durability).confirm(call, patience=storing.patience, shared=shared)
        if shortfall is not None:
            storing.shortfalls.append(shortfall)
        enqueued: Enqueued = reply
        return enqueued

    def _executor(self, durability: str) -> "ConfirmingExecutor":
        with self._lock:
            if durability not in self._confirming:
                self._confirming[durability] = self._server.confirming_kind()(
                    self._server, durability, _write, connections=self._connections, places=self._places
                )
            return self._confirming[durability]


def not_replicated(shortfalls: "Sequence[Shortfall]", job_ids: Sequence[str]) -> NotReplicated:
    """Return the error for jobs that are stored, but not as durably as was asked for."""
    are = f"job {job_ids[0]} is" if len(job_ids) == 1 else f"the {len(job_ids)} jobs are"
    reason, cause = shortfalls[0].reason, shortfalls[0].cause
    return NotReplicated(f"{are} stored, but might be lost with the server's machine: {reason}", job_ids, cause)


def _durability(jobs: Sequence[NewJob], default: str) -> str:
    """Return the strongest durability of jobs."""
    if len(jobs) == 1:
        return jobs[0].durability or default
    return strongest(*{job.durability or default for job in jobs})


def _write(prefix: str) -> Command:
    """Return a write in a queue that always changes something: a repeat of a submission stores nothing itself."""
    return Command(prefix, ("SET", prefix + QUEUE_KEYS["confirming"].head, "1", "EX", _REMAINS))

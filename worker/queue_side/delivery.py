"""Delivers outcomes to the server: calls are sent again until a script has confirmed their outcomes.

Only a script's reply is final. An error reply means that something else prevents it: a failover, a full disk, a quota,
a proxy without its server, or an unknown error. It may be temporary, so outcomes are kept as long as the lease. Batches
are split in halves, in case a single outcome is the reason; and an outcome that is rejected alone for long while the
server accepts others can't be stored as it is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gopher.worker.job_logs import job_fields
from gopher.worker.running import Running

from gopher.base.counters import field_of
from gopher.base.pauses import doubled
from gopher.queue.keys import QueueKeys
from gopher.server.calls import Call, Command
from gopher.server.errors import blames_data, translated
from gopher.server.pipeline import Pipeline
from gopher.telemetry.logs import get_logger

log = get_logger("worker")

#: Scripts' replies for an outcome. ALREADY: the call was sent again after a lost reply. MISSING: there is no record.
ANSWERS = frozenset({"OK", "ALREADY", "STALE", "MISSING"})
#: Initial delay (s) before rejected outcomes are sent again; it doubles up to this fraction of the lease.
FIRST_PAUSE, LONGEST_SHARE = 0.1, 1 / 6
#: How often a batch is rejected before it is split.
TOGETHER = 3
#: Minimum time (s) for which an outcome is retried while the server accepts others; a lease if that is longer.
PATIENCE = 30.0
#: Maximum number and bytes of rejected outcomes: above them, no more jobs are fetched from that queue.
FULL, FULL_BYTES = 256, 16 * 1024 * 1024
#: Minimum seconds between two log lines about it.
SAY_EVERY = 10.0


@dataclass(slots=True, eq=False)
class Parcel:
    """Outcomes that are sent with one call."""

    jobs: Sequence[Running]
    call: Call
    #: Splits it into two calls, for several outcomes.
    halves: Callable[[], "list[Parcel]"] | None = None
    #: Returns the call in place of an outcome that the server never accepts, given the server's reason.
    instead: Callable[[str], "Parcel"] | None = None
    refusals: int = 0
    #: When it was first rejected, and when to send it again (monotonic s).
    refused_at: float = 0.0
    due: float = 0.0

    @property
    def size(self) -> int:
        return sum(map(len, self.call.arguments))


class Delivery:
    """Delivers the outcomes of a queue's jobs to the server."""

    def __init__(self, keys: QueueKeys, pipeline: Pipeline, lease: float, patience: float = PATIENCE) -> None:
        self._keys = keys
        self._pipeline = pipeline
        self._longest_pause = lease * LONGEST_SHARE
        self._patience = max(patience, lease)
        #: Not confirmed by a script yet.
        self._parcels: set[Parcel] = set()
        #: Rejected ones, to be sent again.
        self._waiting: list[Parcel] = []
        #: Number and bytes of rejected outcomes.
        self._refused, self._refused_bytes = 0, 0
        #: When the last outcome was accepted, by script (monotonic s).
        self._taken_at: dict[str, float] = {}
        #: Former ids of this worker, whose jobs were requeued.
        self._lost_ids: set[str] = set()
        self._say_at = 0.0

    @property
    def idle(self) -> bool:
        return not self._parcels

    @property
    def full(self) -> bool:
        """Whether too many outcomes were rejected to fetch more jobs."""
        return self._refused >= FULL or self._refused_bytes >= FULL_BYTES

    def held(self) -> list[Running]:
        """Return the jobs whose outcomes no script has confirmed."""
        return [running for parcel in self._parcels for running in parcel.jobs]

    def lose(self, worker_id: str) -> None:
        """Drop the outcomes of an id whose lease was lost."""
        self._lost_ids.add(worker_id)

    def send(self, parcel: Parcel) -> None:
        """Send outcomes."""
        self._parcels.add(parcel)
        self._pipeline.add(parcel.call, lambda answer: self._answered(parcel, answer))

    def send_again(self, now: float) -> None:
        """Send rejected outcomes again that are due."""
        if not self._waiting:
            return
        due = [parcel for parcel in self._waiting if parcel.due <= now]
        self._waiting = [parcel for parcel in self._waiting if parcel.due > now]
        for parcel in due:
            self.send(parcel)

    def wake_at(self) -> float:
        """Return when something has to be sent again (monotonic s)."""
        return min((parcel.due for parcel in self._waiting), default=float("inf"))

    def _answered(self, parcel: Parcel, answer: Any) -> None:
        now = time.monotonic()
        answers = answer if isinstance(answer, list) else [answer]
        if isinstance(answer, Exception) or not ANSWERS.issuperset(answers):
            self._take_refusal(parcel, answer, now)
            return
        self._end(parcel)
        self._taken_at[parcel.call.verb] = now
        if parcel.refusals and not self._refused:
            self._say_at = 0.0
            log.info("the server has accepted all outcomes that it had rejected", queue=self._keys.queue)
        for running, each in zip(parcel.jobs, answers, strict=True):
            _tell(running, each)

    def _take_refusal(self, parcel: Parcel, answer: Any, now: float) -> None:
        error = answer if isinstance(answer, Exception) else ValueError(f"unexpected reply of a script: {answer!r}")
        if parcel.jobs[0].worker_id in self._lost_ids:
            self._end(parcel)
            log.warning("dropped outcomes that were rejected after the lease was lost", jobs=len(parcel.jobs))
            return
        self._count_refusal(parcel, now)
        self._say(error, now)
        if parcel.halves is not None and (blames_data(error) or parcel.refusals >= TOGETHER):
            self._halve(parcel, parcel.halves(), at_once=blames_data(error), now=now)
        elif parcel.halves is None and self._is_its_own_fault(parcel, error, now):
            self._give_up(parcel, error)
        else:
            self._wait(parcel, now)

    def _count_refusal(self, parcel: Parcel, now: float) -> None:
        if not parcel.refusals:
            parcel.refused_at = now
            self._count(parcel, 1)
        parcel.refusals += 1

    def _halve(self, parcel: Parcel, halves: list[Parcel], *, at_once: bool, now: float) -> None:
        self._end(parcel)
        for half in halves:
            half.refusals, half.refused_at = parcel.refusals, parcel.refused_at
            self._count(half, 1)
            if at_once:
                self.send(half)
            else:
                self._wait(half, now)

    def _wait(self, parcel: Parcel, now: float) -> None:
        self._parcels.add(parcel)
        parcel.due = now + doubled(FIRST_PAUSE, parcel.refusals - 1, self._longest_pause)
        self._waiting.append(parcel)

    def _is_its_own_fault(self, parcel: Parcel, error: Exception, now: float) -> bool:
        """Return whether a single rejected outcome is hopeless, which it is not while all outcomes are rejected."""
        takes_others = self._taken_at.get(parcel.call.verb, 0.0) > parcel.refused_at
        return now - parcel.refused_at >= self._patience and (takes_others or blames_data(error))

    def _give_up(self, parcel: Parcel, error: Exception) -> None:
        (running,) = parcel.jobs
        self._end(parcel)
        ending = "the job becomes a dead letter" if parcel.instead else "the job is requeued"
        log.error(f"the server permanently rejects an outcome; {ending}", error=str(error), **job_fields(running))
        field = field_of("refused", running.job.type)
        self._pipeline.add(Command(self._keys.totals, ("HINCRBY", self._keys.totals, field, "1")))
        if parcel.instead is not None:
            self.send(parcel.instead(str(error)))

    def _end(self, parcel: Parcel) -> None:
        self._parcels.discard(parcel)
        if parcel.refusals:
            self._count(parcel, -1)

    def _count(self, parcel: Parcel, sign: int) -> None:
        self._refused += sign * len(parcel.jobs)
        self._refused_bytes += sign * parcel.size

    def _say(self, error: Exception, now: float) -> None:
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY
            what = {"queue": self._keys.queue, "outcomes": self._refused, "error": str(translated(error))}
            log.error("the server rejected outcomes; retrying", **what)


def _tell(running: Running, answer: str) -> None:
    if answer == "STALE":
        log.warning("dropped a late outcome: the job was rescued and fetched by another worker", **job_fields(running))
    elif answer == "MISSING":
        log.warning("a job's record is missing", **job_fields(running))

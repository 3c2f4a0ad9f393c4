"""How outcomes reach the server: a call is repeated until a script has answered for what it brings.

Only a script ends an outcome. An error reply says that something else stands in the way: a failover, a full disk, a
quota, a proxy without its server, words that are not known. It passes or not; the result is kept as long as the lease.
Results that go together are halved, in case one of them is the reason; and one that alone is refused for long while
the server takes others can't be stored as it is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gopher.worker.job_logs import job_fields
from gopher.worker.running import Running

from gopher.base.counters import field_of
from gopher.queue.keys import QueueKeys
from gopher.server.calls import Call, Command
from gopher.server.errors import blames_data, translated
from gopher.server.pipeline import Pipeline
from gopher.telemetry.logs import get_logger

log = get_logger("worker")

#: What scripts answer for an outcome. ALREADY: the reply was lost and the call repeated. MISSING: there is no record.
ANSWERS = frozenset({"OK", "ALREADY", "STALE", "MISSING"})
#: Seconds until what was refused is sent again, at first; it doubles up to this share of the lease.
FIRST_PAUSE, LONGEST_SHARE = 0.1, 1 / 6
#: How often results that go together are refused before they are halved.
TOGETHER = 3
#: Seconds, at least, for which an outcome is repeated though the server takes others; a lease if that is longer.
PATIENCE = 30.0
#: Outcomes, and bytes of them, that were refused and are kept: with more, no more jobs are fetched from that queue.
FULL, FULL_BYTES = 256, 16 * 1024 * 1024
#: Seconds between two lines of the log about it.
SAY_EVERY = 10.0


@dataclass(slots=True, eq=False)
class Parcel:
    """Outcomes that go out with one call."""

    jobs: Sequence[Running]
    call: Call
    #: The same in two calls, for several outcomes.
    halves: Callable[[], "list[Parcel]"] | None = None
    #: What is sent in the place of an outcome that the server never takes; it is told the server's reason.
    instead: Callable[[str], "Parcel"] | None = None
    refusals: int = 0
    #: When it was refused first, and is to be sent again (monotonic s).
    refused_at: float = 0.0
    due: float = 0.0

    @property
    def size(self) -> int:
        return sum(map(len, self.call.arguments))


class Delivery:
    """Brings the outcomes of one queue's jobs to the server."""

    def __init__(self, keys: QueueKeys, pipeline: Pipeline, lease: float, patience: float = PATIENCE) -> None:
        self._keys = keys
        self._pipeline = pipeline
        self._longest_pause = lease * LONGEST_SHARE
        self._patience = max(patience, lease)
        #: Not answered for by a script yet.
        self._parcels: set[Parcel] = set()
        #: Of these, what was refused, and waits for its time.
        self._waiting: list[Parcel] = []
        #: Outcomes that were refused, and their bytes.
        self._refused, self._refused_bytes = 0, 0
        #: When the last outcome was taken, by the scripts' names (monotonic s).
        self._taken_at: dict[str, float] = {}
        #: Former ids of this worker: its jobs were given to others.
        self._lost_ids: set[str] = set()
        self._say_at = 0.0

    @property
    def idle(self) -> bool:
        return not self._parcels

    @property
    def full(self) -> bool:
        """Whether so much was refused that no more should come."""
        return self._refused >= FULL or self._refused_bytes >= FULL_BYTES

    def held(self) -> list[Running]:
        """Return the jobs whose outcomes no script has answered for."""
        return [running for parcel in self._parcels for running in parcel.jobs]

    def lose(self, worker_id: str) -> None:
        """Repeat no more what was done under an id whose lease was lost."""
        self._lost_ids.add(worker_id)

    def send(self, parcel: Parcel) -> None:
        """Put outcomes on their way."""
        self._parcels.add(parcel)
        self._pipeline.add(parcel.call, lambda answer: self._answered(parcel, answer))

    def send_again(self, now: float) -> None:
        """Send what was refused and whose time has come."""
        if not self._waiting:
            return
        due = [parcel for parcel in self._waiting if parcel.due <= now]
        self._waiting = [parcel for parcel in self._waiting if parcel.due > now]
        for parcel in due:
            self.send(parcel)

    def wake_at(self) -> float:
        """Return when something is to be sent again (monotonic s)."""
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
            log.info("the server has taken all outcomes that it had refused", queue=self._keys.queue)
        for running, each in zip(parcel.jobs, answers, strict=True):
            _tell(running, each)

    def _take_refusal(self, parcel: Parcel, answer: Any, now: float) -> None:
        error = answer if isinstance(answer, Exception) else ValueError(f"no answer of a script: {answer!r}")
        if parcel.jobs[0].worker_id in self._lost_ids:
            self._end(parcel)
            log.warning("outcomes were refused after the lease was lost, and dropped", jobs=len(parcel.jobs))
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
        parcel.due = now + min(FIRST_PAUSE * 2 ** (parcel.refusals - 1), self._longest_pause)
        self._waiting.append(parcel)

    def _is_its_own_fault(self, parcel: Parcel, error: Exception, now: float) -> bool:
        """Return whether there is no hope for an outcome that was refused alone. While all are refused, there is."""
        takes_others = self._taken_at.get(parcel.call.verb, 0.0) > parcel.refused_at
        return now - parcel.refused_at >= self._patience and (takes_others or blames_data(error))

    def _give_up(self, parcel: Parcel, error: Exception) -> None:
        (running,) = parcel.jobs
        self._end(parcel)
        ending = "the job becomes a dead letter" if parcel.instead else "the job is given back"
        log.error(f"the server never takes an outcome; {ending}", error=str(error), **job_fields(running))
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
            log.error("outcomes are refused by the server and sent again", **what)


def _tell(running: Running, answer: str) -> None:
    if answer == "STALE":
        log.warning(
            "an outcome came too late and was dropped: the job was given to another worker", **job_fields(running)
        )
    elif answer == "MISSING":
        log.warning("a job's record has disappeared", **job_fields(running))

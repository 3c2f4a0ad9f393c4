"""How outcomes go out: completed jobs in batches, every other outcome as a call of its own."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gopher.errors import ConfigurationError, QueueFull
from gopher.job import created_ms
from gopher.link import Link
from gopher.logs import debugging, get_logger
from gopher.queue import Call, Completion, Failure, Queue
from gopher.replies import translated

from .clock import ServerClock
from .job_logs import job_fields
from .pool import Running
from .verdicts import Verdict, history_row, within

log = get_logger("worker")

#: Seconds until an outcome that the server refused for a while is sent again.
AGAIN = 1.0


class Settlement:
    """Gives the outcomes of one queue's jobs to the server."""

    def __init__(self, queue: Queue, link: Link, clock: ServerClock) -> None:
        self._queue = queue
        self._link = link
        self._clock = clock
        self._unanswered = 0
        #: What was refused for a reason that passes: when (monotonic s) to send it again, and how.
        self._again: list[tuple[float, Callable[[], None]]] = []
        #: Completions by the worker id that the jobs were given out to.
        self._completions: dict[str, list[tuple[Running, Completion]]] = {}

    @property
    def waiting(self) -> bool:
        """Whether an outcome has not reached the server yet."""
        return bool(self._completions or self._again) or self._unanswered > 0

    @property
    def gathered(self) -> int:
        """How many results wait to be sent."""
        return sum(map(len, self._completions.values()))

    def complete(self, running: Running, seconds: float, result: bytes, log_lines: bytes) -> None:
        """Note a result; it goes out with the next `send`."""
        job = running.job
        if debugging():
            log.debug("job completed", job_id=job.id, job_type=job.type, queue=running.queue, attempt=job.attempt)
        completion = Completion(job.id, job.token, seconds * 1000, result, log_lines)
        self._completions.setdefault(running.worker_id, []).append((running, completion))

    def send(self) -> None:
        """Put the noted results on their way, and what was refused a while ago."""
        now = time.monotonic()
        due = [repeat for at, repeat in self._again if at <= now]
        self._again = [(at, repeat) for at, repeat in self._again if at > now]
        for repeat in due:
            repeat()
        for worker_id, done in self._completions.items():
            self._send_completions(worker_id, done)
        self._completions.clear()

    def _send_completions(self, worker_id: str, done: list[tuple[Running, Completion]]) -> None:
        call = self._queue.complete(worker_id, [completion for _, completion in done])

        def refused(error: Exception) -> None:
            # One record that somebody has spoilt has the whole call refused: each for itself, then.
            for each in done:
                self._send_completions(worker_id, [each])

        self._add(call, _each([running for running, _ in done]), refused if len(done) > 1 else None)

    def settle(self, running: Running, verdict: Verdict, log_lines: bytes, started: float, ended: float) -> None:
        """Carry out what was decided for an attempt; times are monotonic seconds."""
        job, worker_id = running.job, running.worker_id
        if verdict.kind == "requeue":
            self.requeue(running, verdict.delay)
            return
        if verdict.kind == "hold_back":
            log.info("the type is held back", seconds=verdict.delay, **job_fields(running))
            call = self._queue.hold_back(worker_id, job.id, job.token, verdict.delay)
            self._add(call, _answer_for(running))
            return
        verdict = within(verdict, self._give_up_in(running, ended))
        row = history_row(job.attempt, verdict, worker_id, self._clock.at(started), self._clock.at(ended))
        _log(running, verdict)
        if verdict.kind == "cancelled":
            call = self._queue.cancelled(worker_id, job.id, job.token, row, log_lines)
        else:
            duration = (ended - started) * 1000
            failure = Failure(job.id, job.token, duration, verdict.error, row, log_lines, verdict.crash)
            if verdict.kind == "retry":
                call = self._queue.retry(worker_id, failure, verdict.delay)
            else:
                call = self._queue.dead_letter(worker_id, failure, verdict.error_type, verdict.place)
        self._add(call, _answer_for(running))

    def _add(
        self, call: Call, callback: Callable[[Any], None], refused: Callable[[Exception], None] | None = None
    ) -> None:
        """Send a call. `refused` takes an error in the place of `callback`, unless it is one that passes."""
        self._unanswered += 1

        def answered(answer: Any) -> None:
            self._unanswered -= 1
            if isinstance(answer, Exception) and _passes(answer):
                log.error("an outcome is refused by the server; it is sent again", error=str(answer))
                self._again.append((time.monotonic() + AGAIN, lambda: self._add(call, callback, refused)))
            elif isinstance(answer, Exception) and refused is not None:
                refused(answer)
            else:
                callback(answer)

        self._link.add(call, answered)

    def _give_up_in(self, running: Running, now: float) -> float:
        """Return the seconds in which another attempt may begin."""
        if running.retry_for is None:
            return float("inf")
        return (created_ms(running.job.id) - self._clock.at(now)) / 1000 + running.retry_for

    def requeue(self, running: Running, delay: float = 0.0) -> None:
        """Give a job back; its attempt is not counted."""
        call = self._queue.requeue(running.worker_id, running.job.id, running.job.token, delay)
        self._add(call, _answer_for(running))


def _passes(error: Exception) -> bool:
    """Return whether an error will be over once somebody has mended the server: a password, permissions, memory."""
    return isinstance(translated(error), ConfigurationError | QueueFull)


def _each(jobs: list[Running]) -> Callable[[list[str] | Exception], None]:
    def answered(answers: list[str] | Exception) -> None:
        if isinstance(answers, Exception):
            log.error("results were refused by the server", jobs=len(jobs), error=str(answers))
            return
        for running, answer in zip(jobs, answers, strict=True):
            _check(running, answer)

    return answered


def _answer_for(running: Running) -> Callable[[str | Exception], None]:
    def answered(answer: str | Exception) -> None:
        if isinstance(answer, Exception):
            log.error("an outcome was refused by the server", error=str(answer), **job_fields(running))
        else:
            _check(running, answer)

    return answered


def _check(running: Running, answer: str) -> None:
    # ALREADY: the reply was lost and the call repeated. MISSING: somebody deleted the record.
    if answer == "STALE":
        log.warning(
            "an outcome came too late and was dropped: the job was given to another worker", **job_fields(running)
        )
    elif answer == "MISSING":
        log.warning("a job's record has disappeared", **job_fields(running))


_LOUD: Mapping[str, str] = {"dead": "error", "retry": "warning", "cancelled": "info"}


def _log(running: Running, verdict: Verdict) -> None:
    fields = job_fields(running)
    if verdict.error_type:
        fields["error_type"] = verdict.error_type
    if verdict.kind == "retry":
        fields["next_in"] = round(verdict.delay, 3)
    words = {"dead": "job is dead", "retry": "job will be tried again", "cancelled": "job cancelled"}
    getattr(log, _LOUD[verdict.kind])(words[verdict.kind], outcome=verdict.outcome, **fields)

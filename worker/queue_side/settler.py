"""Sends outcomes: completed jobs in batches, every other outcome as a separate call."""

import time
from collections.abc import Callable, Mapping

from gopher.worker.job_logs import job_fields
from gopher.worker.messages import Completed, Usage
from gopher.worker.running import Running

from gopher.queue.arguments import Completion, Failure, as_usage
from gopher.queue.moves import Queue
from gopher.server.pipeline import Pipeline
from gopher.telemetry.logs import debugging, get_logger

from .clock import ServerClock
from .decisions import Decision, history_row, on_refused_outcome, within
from .delivery import Delivery, Parcel

log = get_logger("worker")

#: A job and its result.
_Done = tuple[Running, Completion]


class Settler:
    """Converts the outcomes of a queue's jobs to calls, and delivers them."""

    def __init__(self, queue: Queue, pipeline: Pipeline, clock: ServerClock, lease: float) -> None:
        self._queue = queue
        self._clock = clock
        self.delivery = Delivery(queue.keys, pipeline, lease)
        #: Completions by the worker id that fetched the jobs.
        self._completions: dict[str, list[_Done]] = {}
        #: Called with an attempt whose outcome the server rejects.
        self.refused: Callable[[Running, Decision], None] = lambda running, decision: None

    @property
    def waiting(self) -> bool:
        """Whether an outcome has not reached the server yet."""
        return bool(self._completions) or not self.delivery.idle

    @property
    def gathered(self) -> int:
        """The number of results to be sent."""
        return sum(map(len, self._completions.values()))

    def held(self) -> list[Running]:
        """Return the jobs whose outcomes have not reached the server yet."""
        gathered = [running for done in self._completions.values() for running, _ in done]
        return [*gathered, *self.delivery.held()]

    def complete(self, running: Running, outcome: Completed, log_lines: bytes) -> None:
        """Queue a result for the next `send`."""
        job = running.job
        if debugging():
            log.debug("job completed", job_id=job.id, job_type=job.type, queue=running.queue, attempt=job.attempt)
        usage = "" if outcome.usage is None else _usage(outcome.usage, running)
        completion = Completion(job.id, job.token, outcome.seconds * 1000, outcome.result, log_lines, usage)
        self._completions.setdefault(running.worker_id, []).append((running, completion))

    def send(self) -> None:
        """Send the queued results, and rejected outcomes that are due."""
        self.delivery.send_again(time.monotonic())
        for worker_id, done in self._completions.items():
            self.delivery.send(self._results(worker_id, done))
        self._completions.clear()

    def _results(self, worker_id: str, done: list[_Done]) -> Parcel:
        call = self._queue.complete(worker_id, [completion for _, completion in done])
        jobs = [running for running, _ in done]
        if len(done) == 1:
            (running, completion), now = done[0], time.monotonic()
            return Parcel(jobs, call, instead=self._dead(running, now - completion.duration / 1000, now))
        middle = len(done) // 2
        return Parcel(jobs, call, lambda: [self._results(worker_id, half) for half in (done[:middle], done[middle:])])

    def settle(
        self,
        running: Running,
        decision: Decision,
        log_lines: bytes,
        started: float,
        ended: float,
        usage: Usage | None = None,
    ) -> Decision:
        """Carry out what was decided for an attempt; times are monotonic seconds. Returns what it came to."""
        job, worker_id = running.job, running.worker_id
        if decision.kind == "requeue":
            self.requeue(running, decision.delay)
            return decision
        if decision.kind == "throttle":
            log.info("jobs are throttled", seconds=decision.delay, scope=decision.scope, **job_fields(running))
            call = self._queue.throttle(worker_id, job.id, job.token, decision.delay, decision.scope)
            self.delivery.send(Parcel([running], call))
            return decision
        decision = within(decision, running.give_up_at - ended)
        row = self._row(running, decision, started, ended, usage)
        _log(running, decision)
        instead = None
        if decision.kind == "cancelled":
            call = self._queue.cancelled(worker_id, job.id, job.token, row, log_lines)
        else:
            instead = self._dead(running, started, ended)
            lasted, used = (ended - started) * 1000, _usage(usage, running)
            failure = Failure(job.id, job.token, lasted, decision.error, row, log_lines, decision.crash, used)
            if decision.kind == "retry":
                call = self._queue.retry(worker_id, failure, decision.delay)
            else:
                call = self._queue.dead_letter(worker_id, failure, decision.error_type, decision.place)
        self.delivery.send(Parcel([running], call, instead=instead))
        return decision

    def _dead(self, running: Running, started: float, ended: float) -> Callable[[str], Parcel]:
        """Return the call that dead-letters a job whose outcome the server rejects, with little data."""

        def parcel(reason: str) -> Parcel:
            job, worker_id = running.job, running.worker_id
            decision = on_refused_outcome(reason)
            self.refused(running, decision)
            row = self._row(running, decision, started, ended)
            failure = Failure(job.id, job.token, (ended - started) * 1000, decision.error, row, b"", "")
            return Parcel([running], self._queue.dead_letter(worker_id, failure, decision.error_type))

        return parcel

    def _row(
        self, running: Running, decision: Decision, started: float, ended: float, usage: Usage | None = None
    ) -> bytes:
        times = self._clock.at(started - running.frozen), self._clock.at(ended)
        return history_row(
            running.job.attempt, decision, running.worker_id, times, ended - started, usage, running.frozen
        )

    def requeue(self, running: Running, delay: float = 0.0) -> None:
        """Requeue a job without counting its attempt."""
        call = self._queue.requeue(running.worker_id, running.job.id, running.job.token, delay)
        self.delivery.send(Parcel([running], call))


def _usage(usage: Usage | None, running: Running) -> str:
    return "" if usage is None else as_usage(usage.user, usage.system, usage.peak, running.file_class)


_LOUD: Mapping[str, str] = {"dead": "error", "retry": "warning", "cancelled": "info"}


def _log(running: Running, decision: Decision) -> None:
    fields = job_fields(running)
    if decision.error_type:
        fields["error_type"] = decision.error_type
    if decision.kind == "retry":
        fields["next_in"] = round(decision.delay, 3)
    words = {"dead": "job failed", "retry": "job will be retried", "cancelled": "job cancelled"}
    getattr(log, _LOUD[decision.kind])(words[decision.kind], outcome=decision.outcome, **fields)

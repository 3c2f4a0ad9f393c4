"""A worker inside the test's process: it uses the real scripts, and calls handlers directly."""

import time
from itertools import count

import msgspec
from gopher.worker.children import failures
from gopher.worker.children.child import throttled_by, what_becomes
from gopher.worker.messages import Failed
from gopher.worker.queue_side.decisions import Decision, history_row, on_failure, on_no_handler
from gopher.worker.worker_info import new_worker_id

from gopher.base.priorities import STRICT_ORDER
from gopher.base.states import TIMED
from gopher.files.job_files import StoredJobFiles
from gopher.files.large_payloads import payload_file, payload_of
from gopher.files.large_results import read_attached
from gopher.jobs.handlers import Handler
from gopher.jobs.job import Envelope, Job, decode_envelope
from gopher.jobs.options import Options, resolve
from gopher.jobs.registry import Registry
from gopher.queue.arguments import Completion, Failure
from gopher.queue.moves import Queue
from gopher.queue.replies import FetchedJob
from gopher.queue.store import Server
from gopher.telemetry.trace_context import trace_id

from .running import ENDS, Recorder, attempt, error_type_of

#: Maximum seconds of a test.
_LEASE = 3600.0


class InlineWorker:
    """Runs all jobs that can run, one at a time, by priority."""

    def __init__(self, server: Server, registry: Registry) -> None:
        self._server = server
        self._registry = registry
        self._name = new_worker_id()
        self._numbers = count(1)
        self._queues: dict[str, Queue] = {}

    def run_pending(self) -> list[BaseException]:
        """Run all jobs that can start, including those that they enqueue; return the exceptions of dead letters."""
        died: list[BaseException] = []
        while any(self._run_one(queue, died) for queue in self._known()):
            pass
        return died

    def hurry(self, within: float | None) -> None:
        """Make jobs that are due within the given seconds (None: all) due now."""
        client = self._server.client
        for queue in self._known():
            now = self._server.run(queue.promote()).now
            latest = "+inf" if within is None else now + round(within * 1000)
            for waiting in map(queue.keys.of_state, TIMED):
                for job_id in client.zrangebyscore(waiting, "-inf", latest):
                    # Jobs that wait for others have no due time.
                    if not client.hexists(queue.keys.job(job_id.decode()), "waiting_for"):
                        client.zadd(waiting, {job_id: now}, xx=True)

    def _known(self) -> list[Queue]:
        for name in self._server.queues():
            if name not in self._queues:
                self._queues[name] = self._server.queue(name)
                self._server.run(self._queues[name].heartbeat(self._name, _LEASE, first=True))
        return list(self._queues.values())

    def _run_one(self, queue: Queue, died: list[BaseException]) -> bool:
        self._server.run(queue.promote())
        fetched = self._server.run(queue.fetch(self._name, 1, next(self._numbers), STRICT_ORDER, strict=True))
        for job in fetched.jobs:
            self._run(queue, job, died)
        return bool(fetched.jobs)

    def _run(self, queue: Queue, given: FetchedJob, died: list[BaseException]) -> None:
        handler = self._registry.get(given.type)
        envelope = decode_envelope(given.envelope)
        options = resolve(envelope, handler, self._server.settings)
        reporter, started = Recorder(), time.time()
        try:
            if handler is None:
                raise LookupError(f"no handler is registered for {given.type!r} here")
            job = _job(queue, given, envelope, options, reporter)
            read_attached(job, given.parents)
            result = attempt(handler, job, payload_of(job, envelope))
        except ENDS as error:
            decision = _decision(given, error, handler, options)
            self._settle(queue, given, decision, started, _log(reporter, started))
            if decision.kind == "dead":
                died.append(error)
        else:
            seconds = time.time() - started
            done = Completion(given.id, given.token, seconds * 1000, result, _log(reporter, started))
            self._server.run(queue.complete(self._name, [done]))

    def _settle(self, queue: Queue, job: FetchedJob, decision: Decision, started: float, log: bytes) -> None:
        ended = time.time()
        times = round(started * 1000), round(ended * 1000)
        row = history_row(job.attempt, decision, self._name, times, ended - started)
        failure = Failure(job.id, job.token, (ended - started) * 1000, decision.error, row, log, decision.crash)
        if decision.kind == "requeue":
            call = queue.requeue(self._name, job.id, job.token, decision.delay)
        elif decision.kind == "throttle":
            call = queue.throttle(self._name, job.id, job.token, decision.delay, decision.scope)
        elif decision.kind == "cancelled":
            call = queue.cancelled(self._name, job.id, job.token, row, log)
        elif decision.kind == "retry":
            # Immediately, regardless of its backoff: tests don't wait.
            call = queue.retry(self._name, failure, 0.0)
        else:
            call = queue.dead_letter(self._name, failure, decision.error_type)
        self._server.run(call)


def _job(queue: Queue, given: FetchedJob, envelope: Envelope, options: Options, reporter: Recorder) -> Job:
    return Job(
        id=given.id,
        type=given.type,
        queue=queue.name,
        priority=given.priority,
        attempt=given.attempt,
        max_retries=options.max_retries,
        metadata=msgspec.json.decode(envelope.metadata),
        tags=envelope.tags,
        batch=envelope.batch,
        deadline=time.time() + options.timeout,
        parents={parent: msgspec.json.decode(result or b"null") for parent, result in given.parents.items()},
        trace_id=trace_id(envelope.trace),
        traceparent=envelope.trace.get("traceparent", ""),
        owner=envelope.owner,
        reporter=reporter,
        uploads=envelope.files,
        payload_file=payload_file(envelope),
        open_files=StoredJobFiles,
    )


def _decision(job: FetchedJob, error: BaseException, handler: Handler | None, options: Options) -> Decision:
    if handler is None:
        return on_no_handler(job)
    kind, after = what_becomes(error, handler)
    failed = Failed(
        number=1,
        seconds=0.0,
        kind=kind,
        error_type=error_type_of(error),
        message=failures.message(error),
        traceback=failures.trace(error) if kind in ("error", "timeout") else "",
        after=after,
        scope=throttled_by(error) if kind == "rate_limited" else "",
    )
    return on_failure(job, failed, handler, max_retries=options.max_retries, timeout=options.timeout)


def _log(reporter: Recorder, started: float) -> bytes:
    return msgspec.json.encode([(round(started * 1000), line) for line in reporter.lines]) if reporter.lines else b""

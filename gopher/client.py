"""Gopher from Python: `Client(url).enqueue("image_resize", {...}, priority="high")`.

The API and `gopherctl` are built on this client.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Unpack

from gopher.base.states import ENDED, PURGEABLE, State

from .admin.dead_letters import DeadLetters
from .admin.limits import Flow
from .admin.schedules import Schedules
from .base.pauses import looks
from .base.times import to_rfc3339
from .config.settings import Settings
from .errors import InvalidJob, JobConflict, OutcomeUnknown, ServerError, TooManyQueues
from .hooks.enqueuing import around_enqueue
from .hooks.registered import enqueuing as hooks_around_enqueue
from .interface import Gopher, Stored
from .interface.operation import takes
from .jobs.bulk import prepare_many
from .jobs.dry_run import DryRun, dry_run
from .jobs.filters import JobFilter, Window
from .jobs.handlers import Registry
from .jobs.job import NewJob, created_ms
from .jobs.models import Accepted, JobView, LogLine, Page, Reason, Stats, TypeView, WorkerView
from .jobs.owners import TRUSTED, Submitter, current_submitter, owned_by
from .jobs.prepare import prepare, prepare_batch, prepare_fields
from .jobs.submission import MAX_BATCH, InvalidBatch, JobFields, Submission, SubmitOptions
from .queue.batches import check_parents, check_queues, is_known, no_parent, refusal
from .queue.idempotency import IdempotencyMismatch, ids_for, request_for, with_ids
from .queue.missing import Losses, no_such_job
from .queue.moves import Request
from .queue.replies import Enqueued
from .queue.store import Server
from .reads.health import Health, examine
from .reads.job_types import describe
from .reads.jobs import Inspector
from .reads.listing import Listing
from .reads.timeline import Timeline, timeline
from .reads.why import Explainer
from .server.executor import PATIENCE
from .telemetry.tracing import enqueuing

__all__ = ["PURGEABLE", "Client", "Stored", "accepted"]

#: Jobs per call of `enqueue_many`.
_BULK = 1000


class Client(Gopher):
    """Submits and manages jobs. Threads may share a client; create a new one after a fork.

    `url` and `namespace` default to `REDIS_URL` and `GOPHER_NAMESPACE`. With a `registry`, types and
    payloads are validated before anything is stored; without one, the worker does that. With `auto_pipelining`,
    threads that submit single jobs at the same time share round trips. Use it only for threads that are not
    interrupted by signal handlers that raise, or by gevent timeouts.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        registry: Registry | None = None,
        settings: Settings | None = None,
        connections: int = 10,
        auto_pipelining: bool = False,
    ) -> None:
        settings = settings or Settings.from_env()
        settings = replace(settings, redis_url=url) if url else settings
        self.settings = replace(settings, namespace=namespace) if namespace else settings
        self.registry = registry
        self.server = Server(self.settings, connections=connections)
        self._auto_pipelining = auto_pipelining
        self.inspector = Inspector(self.server, registry)
        self.dead_letters: DeadLetters = DeadLetters(self.server, self.inspector)
        self.flow: Flow = Flow(self.server, registry)
        self.schedules: Schedules = Schedules(self.server, registry)
        self._listing = Listing(self.server, self.inspector)
        self._explainer = Explainer(self.server, self.inspector)

    def close(self) -> None:
        self.server.close()

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id. `options` are the fields of `Submission`.

        Raises InvalidJob if the submission is invalid, a ServerError if it can't be stored.
        """
        job = prepare_fields({"type": job_type, "payload": payload, **options}, self.registry)
        return self.store([job])[0].job_id

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs, each `{"type": ..., "payload": ..., ...}`, and return their ids in order.

        Up to 10,000 are accepted all or none; more are sent in batches of 1,000, so that any number can be streamed.
        """
        iterator = iter(jobs)
        ids: list[str] = []
        size = MAX_BATCH
        while piece := [*itertools.islice(iterator, size)]:
            ids += [stored.job_id for stored in self.store(prepare_many(piece, self.registry))]
            size = _BULK
        return ids

    def submit(self, submission: Submission) -> Accepted:
        """Submit a job and return its details. Raises as `enqueue` does."""
        job = prepare(submission, self.registry)
        return accepted(job, self.store([job])[0])

    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs as JSON in the API's format; for each queue, all or none are stored.

        Repeating the same entries with the same key within 24 h stores nothing and returns the first result.
        Raises InvalidBatch, which lists each invalid entry, IdempotencyMismatch, a ServerError.
        """
        if idempotency_key is None:
            return self.store(prepare_batch(entries, self.registry))
        request = request_for(idempotency_key, b"\n".join(entries), time.time_ns() // 1_000_000)
        return self.store(prepare_batch(entries, self.registry, ids_for(request, len(entries))), request=request)

    def store(
        self,
        jobs: Sequence[NewJob],
        *,
        request: Request | None = None,
        patience: float = PATIENCE,
        submitter: Submitter | None = None,
    ) -> list[Stored]:
        """Store prepared jobs: those of one queue in one call, all or none. Returns the result of each.

        They belong to the `submitter`, by default to the owner of the job that the calling code runs in, if any.
        With a `request` (see `idempotency`) a repeat stores nothing and returns the first result.
        Raises InvalidJob if a job to wait for does not exist, IdempotencyMismatch, a ServerError: OutcomeUnknown
        if some queues have stored their jobs and another one could not.
        """
        if hooks_around_enqueue:
            return around_enqueue(jobs, lambda hooked: self._store(hooked, request, patience, submitter))
        return self._store(jobs, request, patience, submitter)

    def _store(
        self, jobs: Sequence[NewJob], request: Request | None, patience: float, submitter: Submitter | None
    ) -> list[Stored]:
        submitter = submitter or current_submitter()
        jobs = owned_by(jobs, submitter.owner)
        # Parents that the submitter may not see have to be checked first: the script does not know owners.
        restricted = not submitter.sees_all and any(job.after for job in jobs)
        if request is None and not restricted and (len(jobs) == 1 or len({job.queue for job in jobs}) == 1):
            return self._store_in_one(jobs[0].queue, jobs, patience)
        by_queue: dict[str, list[int]] = {}
        for index, job in enumerate(jobs):
            by_queue.setdefault(job.queue, []).append(index)
        made = int(request.answer) if request else 0
        stored: dict[int, Stored] = {}
        if (restricted or len(by_queue) > 1) and not (request and is_known(self.server, request, list(by_queue))):
            check_parents(self.server, jobs, by_queue, submitter)
        self._announce(jobs, by_queue)
        for name, places in by_queue.items():
            if request:
                jobs = with_ids(jobs, request, made)
            some = [jobs[index] for index in places]
            try:
                reply = self._enqueue(name, some, request and request._replace(answer=str(made)), patience)
            except ServerError as error:
                raise _in_part(error, len(stored), len(jobs)) from error
            if reply.kind == "NOPARENT":
                raise _no_parent(self.server, reply.detail, name, jobs)
            if reply.kind == "REPLAYED" and request:
                # With the very same time, it was this call, which was sent again because its reply was lost.
                replayed, made = int(reply.detail) != made, int(reply.detail)
                first = with_ids(jobs, request, made)
                answered = [_stored(first[place], what) for place, what in zip(places, reply.answers, strict=True)]
                stored |= {
                    place: each._replace(replayed=replayed) for place, each in zip(places, answered, strict=True)
                }
            else:
                stored |= dict(zip(places, map(_stored, some, reply.answers), strict=True))
        return [stored[index] for index in range(len(jobs))]

    def _announce(self, jobs: Sequence[NewJob], queues: Iterable[str]) -> None:
        try:
            self.server.register_queues(*queues)
        except TooManyQueues as error:
            raise refusal(self.server, jobs, error) from error

    def _store_in_one(self, name: str, jobs: Sequence[NewJob], patience: float) -> list[Stored]:
        if not self.server.names.is_known(name):
            self._announce(jobs, [name])
        reply = self._enqueue(name, jobs, None, patience)
        if reply.kind == "NOPARENT":
            raise _no_parent(self.server, reply.detail, name, jobs)
        return list(map(_stored, jobs, reply.answers))

    def _enqueue(self, name: str, jobs: Sequence[NewJob], request: Request | None, patience: float) -> Enqueued:
        queue = self.server.queue(name)
        with enqueuing(name, jobs) as traced:
            call = queue.enqueue(traced, request) if request else queue.enqueue(traced)
            # A large batch would delay others that share its round trip.
            shares = self._auto_pipelining and len(jobs) == 1
            run = self.server.run_with_others if shares else self.server.run
            reply: Enqueued = run(call, patience=patience)
        if reply.kind == "MISMATCH":
            raise IdempotencyMismatch
        return reply

    def dry_run_submission(self, submission: Submission) -> DryRun:
        """Return what would happen to a submission. Raises InvalidJob."""
        return self.dry_run(prepare(submission, self.registry))

    def dry_run(self, job: NewJob) -> DryRun:
        """Return what would happen to a job, without storing it: options, retry times, limit, workers."""
        return self.dry_run_all([job])[0]

    def dry_run_all(self, jobs: Sequence[NewJob]) -> list[DryRun]:
        """Return what would happen to jobs. Common data is read once. Raises InvalidJob."""
        check_queues(self.server, jobs)
        limits, workers = self.flow.limits({job.queue for job in jobs}), self.workers()
        return [dry_run(job, self.settings, self.registry, limits, workers) for job in jobs]

    def run_schedule(self, name: str) -> str:
        """Enqueue a job of a schedule now; return its id. Raises ScheduleNotFound."""
        return self.store([self.schedules.job_now(name)], submitter=TRUSTED)[0].job_id

    # Looking

    def job(self, job_id: str) -> JobView:
        """Return a job. Raises JobNotFound."""
        view = self.inspector.job(job_id)
        if view is None:
            raise no_such_job(self.server, job_id)
        return view

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound."""
        queue = self.inspector.find(job_id)
        if queue is None:
            raise no_such_job(self.server, job_id)
        until = None if timeout is None else time.monotonic() + timeout
        for pause in looks():
            state = self.inspector.state(queue, job_id)
            left = float("inf") if until is None else until - time.monotonic()
            if state is None or state in ENDED or left <= 0:
                break
            time.sleep(min(pause, left))
        return self.job(job_id)

    @takes(JobFilter)
    def jobs(self, asked: JobFilter) -> Page:
        """Return a page of jobs, newest first."""
        return self._listing.jobs(asked)

    def logs(self, job_id: str) -> list[LogLine]:
        """Return the log of a job's attempts. Raises JobNotFound."""
        lines = self.inspector.logs(job_id)
        if lines is None:
            raise no_such_job(self.server, job_id)
        return lines

    def why(self, job_id: str) -> list[Reason]:
        """Return why a job isn't running yet, most immediate reason first. Raises JobNotFound."""
        reasons = self._explainer.why(job_id)
        if reasons is None:
            raise no_such_job(self.server, job_id)
        return reasons

    def stats(self) -> Stats:
        return self.inspector.stats()

    @takes(Window)
    def timeline(self, asked: Window) -> Timeline:
        """Return time series of a span such as the last hour. Raises InvalidJob."""
        return timeline(self.server, asked.window, asked.queue)

    def workers(self) -> list[WorkerView]:
        return self.inspector.workers()

    def types(self) -> list[TypeView]:
        """Return the job types that are registered here."""
        return [describe(handler, self.settings) for handler in self.registry or ()]

    def health(self) -> Health:
        """Return the health of server, workers and scheduler. Raises a ServerError if the server is unavailable."""
        return examine(self.server)

    # Acting

    def cancel(self, job_id: str) -> str:
        """Cancel a job: return `cancelled`, or `processing` if its child is being stopped.

        Raises JobNotFound, and JobConflict if it has already finished.
        """
        queue = self.inspector.find(job_id)
        answer = "MISSING" if queue is None else self.server.run(self.server.queue(queue).cancel(job_id))
        if answer == "MISSING":
            raise no_such_job(self.server, job_id)
        if answer == "CANCELLED":
            return State.CANCELLED
        if answer == "CANCELLING":
            return State.PROCESSING
        raise JobConflict(f"job {job_id} has already finished: it is {answer}")

    def purge(self, queue: str, state: str, progress: Callable[[int], None] = lambda count: None) -> int:
        """Delete all jobs of a queue in `state`, one of those that can be purged; return how many.

        Jobs that become pending meanwhile are kept, including those that were waiting for deleted jobs.
        """
        if state not in PURGEABLE:
            raise InvalidJob(f"is {state!r:.60}: must be one of {', '.join(PURGEABLE)}", "/state")
        total, purged = 0, self.server.run(self.server.queue(queue).purge(state))
        while purged.jobs:
            total += purged.jobs
            progress(total)
            purged = self.server.run(self.server.queue(queue).purge(state, began=purged.began))
        return total


def accepted(job: NewJob, stored: Stored) -> Accepted:
    """Return the result of a submission. An earlier job with the same unique key has the same type and queue."""
    created = created_ms(stored.job_id)
    # Relative to the time of the submission, so that a repeat gets the same result.
    waits = bool(job.after) or job.due.startswith("+") or (job.due != "" and int(job.due) > created)
    return Accepted(
        job_id=stored.job_id,
        status=stored.status or (State.SCHEDULED if waits else State.PENDING),
        created_at=to_rfc3339(created),
        type=job.type,
        queue=job.queue,
        priority=stored.priority or job.priority,
        duplicate=stored.duplicate,
    )


def _no_parent(server: Server, parent: str, queue: str, jobs: Sequence[NewJob]) -> InvalidJob:
    """Return the error for a job, or those of a batch, that would wait for one that does not exist."""
    error = no_parent(parent, queue, Losses(server))
    if len(jobs) == 1:
        return error
    return InvalidBatch(
        [(index, error) for index, job in enumerate(jobs) if job.queue == queue and parent in job.after]
    )


def _in_part(error: ServerError, stored: int, total: int) -> ServerError:
    """Return the error if a queue could not store its jobs after others had stored theirs."""
    if not stored:
        return error
    return OutcomeUnknown(
        f"{stored} of the {total} jobs were stored, in other queues ({error}): repeat the request with the same "
        "Idempotency-Key to store the others; none is stored twice"
    )


def _stored(job: NewJob, answer: str) -> Stored:
    if answer in ("NEW", "DUPLICATE"):
        return Stored(job.id)
    job_id, status, priority = answer.split(" ")
    return Stored(job_id, duplicate=True, status=status, priority=priority)

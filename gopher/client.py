"""Gopher from Python: `Client(url).enqueue("image_resize", {...}, priority="high")`.

The API and `gopherctl` are built on this client.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from gopher.base.states import PURGEABLE, State

from .admin.audit import audited, submitted
from .admin.client_reads import ClientReads
from .base.names import canonical_id
from .config.settings import Settings
from .errors import InvalidJob, JobConflict, ServerError
from .files.large_payloads import enqueue_with_files, may_be_large, may_replace_files, with_payloads
from .hooks import holding
from .hooks.added import enqueuing as hooks_around_enqueue
from .interface.stored import Stored, accepted, not_in_batch, stored_as, taken
from .interface.submissions import with_ids as with_file_ids
from .jobs.job import NewJob
from .jobs.owners import TRUSTED, Submitter, current_submitter, owned_by
from .jobs.prepare import prepare, prepare_batch, prepare_fields
from .jobs.registry import Registry
from .jobs.submission import MAX_BATCH, JobFields, Submission, SubmitOptions
from .queue import batches
from .queue.announced_types import AnnouncedTypes
from .queue.arguments import Request
from .queue.bounds import Bounds, bounds_of, check_bounds
from .queue.chosen_ids import refusal, with_claims
from .queue.enqueued import Enqueued
from .queue.enqueuing import Enqueuer, Storing, not_replicated
from .queue.idempotency import request_for, with_ids
from .queue.missing import no_such_job
from .queue.store import Server
from .queue.taken import each_by_itself
from .server.executor import PATIENCE

if TYPE_CHECKING:
    from .admin.files import Sizes
    from .interface.results import DryRun
    from .jobs.models import Accepted

__all__ = ["PURGEABLE", "Client", "Stored", "accepted"]

#: Jobs per call of `enqueue_many`.
_BULK = 1000


@audited
class Client(ClientReads):
    """Submits and manages jobs. Threads may share a client; create a new one after a fork.

    `url` and `namespace` default to `GOPHER_REDIS_URL` or `REDIS_URL`, and to `GOPHER_NAMESPACE`. With a `registry`,
    types and payloads are validated before anything is stored; without one, the worker does that. With
    `auto_pipelining`, threads that submit single jobs at the same time share round trips. Use it only for threads that
    are not interrupted by signal handlers that raise, or by gevent timeouts. At most `confirming_threads` threads wait
    for replicas for long, by default any number.
    """

    _server_kind: type[Server] = Server

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        registry: Registry | None = None,
        settings: Settings | None = None,
        connections: int = 10,
        auto_pipelining: bool = False,
        confirming_threads: int | None = None,
    ) -> None:
        if settings is None:
            settings = Settings.for_client(url, namespace=namespace)
        elif url:
            settings = settings.at(url)
        self.settings = replace(settings, namespace=namespace) if namespace else settings
        self.registry = registry
        self.server = self._server = self._server_kind(self.settings, connections=connections)
        #: Types whose submissions are audited, like the operations that need the same role.
        self._audited_types = frozenset(each.name for each in registry or () if each.needs == "admin")
        self._enqueuer = Enqueuer(self.server, connections, confirming_threads, auto_pipelining=auto_pipelining)
        #: What is declared for the jobs of types.
        self._types = AnnouncedTypes(self.server) if registry is None else registry

    def close(self) -> None:
        self._enqueuer.close()
        if "files" in vars(self):
            self.files.close()
        self.server.close()

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id. `options` are the fields of `Submission`.

        Raises InvalidJob if the submission is invalid, a ServerError if it can't be stored.
        """
        return self.store([self.prepare(job_type, payload, **options)])[0].job_id

    def prepare(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> NewJob:
        """Return a job with its id for a later `store([job])`, such as after a commit. Raises InvalidJob."""
        fields = {"type": job_type, "payload": payload, **with_file_ids(self, options)}
        return prepare_fields(fields, self._types, payload_max=self.settings.payload_max)

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs, each `{"type": ..., "payload": ..., ...}`, and return their ids in order.

        Up to 10,000 are accepted all or none; more are sent in batches of 1,000, so that any number can be streamed.
        """
        # Neither this nor `check_served` is needed by programs that submit single jobs.
        from .jobs.bulk import prepare_many

        iterator = iter(jobs)
        ids: list[str] = []
        size = MAX_BATCH
        while piece := [*itertools.islice(iterator, size)]:
            fields = [with_file_ids(self, each) for each in piece]
            prepared = prepare_many(fields, self._types, payload_max=self.settings.payload_max)
            ids += [stored.job_id for stored in self.store(prepared)]
            size = _BULK
        return ids

    def submit(self, submission: Submission) -> "Accepted":
        """Submit a job and return its details. Raises as `enqueue` does."""
        job = prepare(submission, self._types, payload_max=self.settings.payload_max)
        return accepted(job, self.store([job])[0])

    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs as JSON in the API's format; for each queue, all or none are stored.

        Repeating the same entries with the same key within 24 h stores nothing and returns the first result.
        Raises InvalidBatch, which lists each invalid entry, IdempotencyMismatch, a ServerError.
        """
        jobs = prepare_batch(entries, self._types, payload_max=self.settings.payload_max)
        if idempotency_key is None:
            return self.store(jobs)
        request = request_for(idempotency_key, b"\n".join(entries), time.time_ns() // 1_000_000)
        return self.store(with_ids(jobs, request, int(request.answer)), request=request)

    def store(
        self,
        jobs: Sequence[NewJob],
        *,
        request: Request | None = None,
        patience: float = PATIENCE,
        submitter: Submitter | None = None,
        partly: bool = False,
    ) -> list[Stored]:
        """Store prepared jobs: those of one queue in one call, all or none. Returns the result of each.

        If more would wait than may, raises QueueLimit, or InvalidBatch for several jobs; with `partly`, stores those
        that fit, and the results of the others are `refused`, as are those of jobs whose batch takes no more. The same
        holds for DuplicateJob and `rejected`.

        They belong to the `submitter`, by default to the owner of the job that the calling code runs in, if any.
        With a `request` (see `idempotency`) a repeat stores nothing and returns the first result.
        Raises InvalidJob if a job to wait for does not exist, IdempotencyMismatch, a ServerError: OutcomeUnknown
        if some queues have stored their jobs and another one could not, NotReplicated if all have, but not as durably.
        """
        if holding.holder is not None:
            return [Stored(job_id) for job_id in holding.holder.store(jobs)]
        storing = Storing(request, patience, self.settings.durability, [])
        sizes: Sizes = {}
        if any(job.require_worker for job in jobs):
            self._check_workers(jobs, request)
        if any(job.files for job in jobs):
            submitter = submitter or current_submitter()
            jobs, sizes = self.files.claim(jobs, submitter, request)
        if hooks_around_enqueue:
            from .hooks.enqueuing import around_enqueue

            stored = around_enqueue(jobs, lambda hooked: self._store(hooked, storing, submitter, partly))
        else:
            stored = self._store(jobs, storing, submitter, partly)
        if sizes and submitter:
            self.files.count_used(jobs, stored, submitter.owner, sizes)
        if self._audited_types:
            submitted(self.server, jobs, stored, self._audited_types)
        if storing.shortfalls and (ids := [each.job_id for each in stored if not each.refused]):
            raise not_replicated(storing.shortfalls, ids)
        return stored

    def _store(
        self, jobs: Sequence[NewJob], storing: Storing, submitter: Submitter | None, partly: bool
    ) -> list[Stored]:
        submitter = submitter or current_submitter()
        batches.check_expiry(self.server, jobs, storing.request)
        jobs = owned_by(each_by_itself(jobs) if partly else jobs, submitter.owner)
        if any(job.batch for job in jobs):
            store = partial(self._store_named, storing=storing, submitter=submitter, partly=partly)
            refuse = not_in_batch if partly else None
            return self.batches.members.store(jobs, submitter, store, storing.request, refuse)
        return self._store_named(jobs, storing, submitter, partly)

    def _store_named(
        self, jobs: Sequence[NewJob], storing: Storing, submitter: Submitter, partly: bool
    ) -> list[Stored]:
        """Store jobs, some of which may have ids that the caller has chosen."""
        if not any(job.named for job in jobs):
            return self._store_in_queues(jobs, storing, submitter, partly)
        refuse = taken if partly else None
        store = partial(self._store_in_queues, storing=storing, submitter=submitter, partly=partly)
        return with_claims(self.server, jobs, submitter.owner, store, refuse)

    def _store_in_queues(
        self, jobs: Sequence[NewJob], storing: Storing, submitter: Submitter, partly: bool
    ) -> list[Stored]:
        request = storing.request
        bounds = bounds_of(self.settings, submitter.owner, "some" if partly else "all")
        # Parents that the submitter may not see have to be checked first: the script does not know owners.
        checked = any(job.after for job in jobs) and not (submitter.is_unlimited and request is None)
        if request is None and not checked and (len(jobs) == 1 or len({job.queue for job in jobs}) == 1):
            return self._store_in_one(jobs[0].queue, jobs, storing, bounds, submitter)
        by_queue = batches.places_by_queue(jobs)
        made = int(request.answer) if request else 0
        stored: dict[int, Stored] = {}
        if checked or len(by_queue) > 1:
            is_known = request is not None and batches.is_known(self.server, request, list(by_queue))
            jobs = batches.with_parents(self.server, jobs, by_queue, submitter, are_checked=is_known)
            if not is_known:
                check_bounds(self.server, jobs, by_queue, bounds)
        batches.announce(self.server, jobs, by_queue)
        for name, places in by_queue.items():
            if request:
                jobs = with_ids(jobs, request, made)
            some = [jobs[index] for index in places]
            first = request and request._replace(answer=str(made))
            try:
                reply = self._enqueue(name, some, first, storing, bounds)
            except ServerError as error:
                raise batches.stored_in_part(error, len(stored), len(jobs)) from error
            if reply.kind == "NOPARENT":
                raise batches.parent_missing(self.server, reply.detail, name, jobs)
            if refused := refusal(jobs, reply, places, bounds):
                raise batches.stored_in_part(refused, len(stored), len(jobs))
            if reply.kind == "REPLAYED" and request:
                made = int(reply.detail)
                again = with_ids(jobs, request, made)
                answered = [stored_as(again[place], what) for place, what in zip(places, reply.answers, strict=True)]
                stored |= {place: each._replace(replayed=True) for place, each in zip(places, answered, strict=True)}
            else:
                stored |= dict(zip(places, map(stored_as, some, reply.answers), strict=True))
        return [stored[index] for index in range(len(jobs))]

    def _check_workers(self, jobs: Sequence[NewJob], request: Request | None = None) -> None:
        from .reads.served import check_served

        if request is None or not batches.is_known(self.server, request, list({job.queue for job in jobs})):
            check_served(self.workers, jobs)

    def _enqueue(
        self, name: str, jobs: Sequence[NewJob], request: Request | None, storing: Storing, bounds: Bounds | None
    ) -> Enqueued:
        def enqueue(some: Sequence[NewJob]) -> Enqueued:
            return self._enqueuer.enqueue(name, some, request, storing, bounds)

        if may_replace_files(jobs):
            return enqueue_with_files(self.files, jobs, lambda some: with_payloads(self.files, some, request, enqueue))
        return with_payloads(self.files, jobs, request, enqueue) if may_be_large(jobs) else enqueue(jobs)

    def _store_in_one(
        self, name: str, jobs: Sequence[NewJob], storing: Storing, bounds: Bounds | None, submitter: Submitter
    ) -> list[Stored]:
        if not self.server.names.is_known(name):
            batches.announce(self.server, jobs, [name])
        reply = self._enqueue(name, jobs, None, storing, bounds)
        if reply.kind == "NOPARENT":
            # It may be in another queue, or be a batch.
            jobs = batches.with_parents(self.server, jobs, {name: range(len(jobs))}, submitter)
            reply = self._enqueue(name, jobs, None, storing, bounds)
        if reply.kind == "NOPARENT":
            raise batches.parent_missing(self.server, reply.detail, name, jobs)
        if refused := refusal(jobs, reply, range(len(jobs)), bounds):
            raise refused
        return list(map(stored_as, jobs, reply.answers))

    def dry_run_submission(self, submission: Submission) -> "DryRun":
        """Return what would happen to a submission. Raises InvalidJob."""
        return self.dry_run(prepare(submission, self._types, payload_max=self.settings.payload_max))

    def dry_run(self, job: NewJob, submitter: Submitter | None = None) -> "DryRun":
        """Return what would happen to a job, without storing it: options, retry times, limit, workers."""
        return self.dry_run_all([job], submitter)[0]

    def dry_run_all(self, jobs: Sequence[NewJob], submitter: Submitter | None = None) -> "list[DryRun]":
        """Return what would happen to jobs. Common data is read once. Raises InvalidJob."""
        from .jobs.dry_run import dry_run

        batches.check_queues(self.server, jobs)
        self._check_workers(jobs)
        batches.check_expiry(self.server, jobs)
        submitter = submitter or current_submitter()
        bounds = bounds_of(self.settings, submitter.owner)
        if any(job.files for job in jobs):
            self.files.check(jobs, submitter)
        check_bounds(self.server, jobs, batches.places_by_queue(jobs), bounds)
        limits, workers, now = self.flow.limits({job.queue for job in jobs}), self.workers(), self.inspector.now()
        return [dry_run(job, self.settings, self.registry, limits, workers, now) for job in jobs]

    def run_schedule(self, name: str) -> str:
        """Enqueue a job of a schedule now; return its id. Raises ScheduleNotFound."""
        return self.store([self.schedules.job_now(name)], submitter=TRUSTED)[0].job_id

    # Acting

    def cancel(self, job_id: str) -> str:
        """Cancel a job: return `cancelled`, or `processing` if its child is being stopped.

        Raises JobNotFound, and JobConflict if it has already finished.
        """
        queue = self.inspector.find(job_id := canonical_id(job_id))
        answer = "MISSING" if queue is None else self.server.run(self.server.queue(queue).cancel(job_id))
        if answer == "MISSING":
            raise no_such_job(self.server, job_id)
        if answer in ("CANCELLED", "CANCELLING"):
            return State.CANCELLED if answer == "CANCELLED" else State.PROCESSING
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

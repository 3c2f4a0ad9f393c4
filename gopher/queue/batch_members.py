"""Jobs of batches, as they are stored: a batch counts its jobs, in whatever queues they are.

The batch is in one slot, its jobs may be in others. So jobs are announced to their batch before they are stored, with
their ids, and taken out of it again if they are not. If their submitter dies in between, a scheduler finds that out
(continue_batches.lua). What the job's end tells the batch is stored with the job (see `relay`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn, Protocol, TypeVar

import msgspec

from gopher.base.salvage import text
from gopher.errors import GopherError, InvalidJob, OutcomeUnknown
from gopher.jobs.batch import UNSTORED
from gopher.jobs.job import NewJob
from gopher.jobs.owners import Submitter
from gopher.jobs.submission import InvalidBatch
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .arguments import Request
from .batch_moves import Joined
from .batches import first_answer
from .idempotency import with_ids
from .moves import Queue
from .search import queues_with
from .store import Server

#: Batches whose places are cached.
_REMEMBERED = 1000


class StoredJob(Protocol):
    """The result of a submission (see `interface.stored`)."""

    @property
    def job_id(self) -> str: ...
    @property
    def refused(self) -> str: ...


_Stored = TypeVar("_Stored", bound=StoredJob)


class BatchPlace(NamedTuple):
    """Where a batch is, and whose."""

    queue: str
    owner: str


class BatchMembers:
    """Announces jobs to their batches. Threads may share it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._places: dict[str, BatchPlace] = {}

    def place(self, batch_id: str) -> BatchPlace | None:
        """Return where a batch is, None if there is none."""
        known = self._places.get(batch_id)
        if known is not None:
            return known
        with explained():
            for names in self._server.names.where_to_look(batch_id):
                for name in queues_with(self._server, names, lambda keys: keys.batch(batch_id)):
                    key = self._server.keys.for_queue(name).batch(batch_id)
                    (owner,) = ask(self._server.client, [("HGET", key, "owner")])
                    if len(self._places) >= _REMEMBERED:
                        self._places.clear()
                    # Neither ever changes.
                    return self._places.setdefault(batch_id, BatchPlace(name, text(owner or b"")))
        return None

    def missing(self, jobs: Sequence[NewJob], submitter: Submitter) -> list[tuple[int, InvalidJob]]:
        """Return the index and the error of each job whose batch does not exist, or is not the submitter's."""
        errors = []
        for index, job in enumerate(jobs):
            if job.batch:
                place = self.place(job.batch)
                if place is None or not submitter.may_use_batch(place.owner):
                    errors.append((index, batch_refusal(job.batch, "MISSING")))
        return errors

    def join(self, jobs: Sequence[NewJob], submitter: Submitter) -> tuple[list[NewJob], dict[int, str]]:
        """Announce jobs to their batches; return those that these have not counted before.

        Also the index of each job that its batch does not take, and why: MISSING or SEALED.
        """
        refused = {index: "MISSING" for index, _ in self.missing(jobs, submitter)}
        by_batch: dict[str, list[int]] = {}
        for index, job in enumerate(jobs):
            if job.batch and index not in refused:
                by_batch.setdefault(job.batch, []).append(index)
        new: list[NewJob] = []
        for batch_id, members in by_batch.items():
            rows = [(jobs[index].id, jobs[index].queue, jobs[index].type) for index in members]
            joined: Joined = self._server.run(self._home(batch_id).join_batch(batch_id, rows))
            if joined.answer == "OK":
                known = set(joined.known)
                new += [jobs[index] for at, index in enumerate(members) if at not in known]
            else:
                if joined.answer == "MISSING":
                    self._places.pop(batch_id, None)
                refused |= dict.fromkeys(members, joined.answer)
        return new, refused

    def store(
        self,
        jobs: Sequence[NewJob],
        submitter: Submitter,
        store: Callable[[Sequence[NewJob]], list[_Stored]],
        request: Request | None = None,
        refuse: Callable[[NewJob, str], _Stored] | None = None,
    ) -> list[_Stored]:
        """Store jobs of batches, which count them first.

        Raises InvalidJob, or InvalidBatch for several jobs, if a batch does not exist or is sealed. With `refuse`, such
        jobs get its result, by the reason. Not if part of the request has been stored, and the batch took them then: it
        may have been sealed since, or be gone.
        """
        # Others may be stored already, if this is a repeat or their ids were chosen: whatever happens, they count.
        new, refused = self.join(jobs, submitter)
        try:
            if refused:
                refused = self._refused(jobs, refused, request, partly=refuse is not None)
            if refused and refuse is None:
                _raise(jobs, refused)
            kept = [job for index, job in enumerate(jobs) if index not in refused]
            stored = store([self._telling(job) if job.batch else job for job in kept]) if kept else []
        except OutcomeUnknown:
            # Some may be stored: the scheduler finds out.
            raise
        except GopherError:
            self.leave(new)
            raise
        ids = {each.job_id for each in stored if not each.refused}
        self.leave([job for job in new if job.id not in ids])
        if refuse is None or not refused:
            return stored
        results = iter(stored)
        return [refuse(job, refused[at]) if at in refused else next(results) for at, job in enumerate(jobs)]

    def _refused(
        self, jobs: Sequence[NewJob], refused: Mapping[int, str], request: Request | None, *, partly: bool
    ) -> dict[int, str]:
        """Return which of the jobs that their batches do not take now they have not taken before either."""
        made = first_answer(self._server, request, list({job.queue for job in jobs})) if request else None
        if not partly:
            # Otherwise nothing would have been stored.
            return {} if made is not None else dict(refused)
        if request and made is not None:
            jobs = with_ids(jobs, request, int(made))
        kept = self._taken([jobs[index] for index in refused], list(refused.values()), is_repeat=made is not None)
        return {index: answer for index, answer in refused.items() if jobs[index].id not in kept}

    def _taken(self, jobs: Sequence[NewJob], answers: Sequence[str], *, is_repeat: bool) -> set[str]:
        """Return the ids of jobs that their batches have taken before, by why they don't now."""
        commands: list[tuple[str, ...]] = []
        for job, answer in zip(jobs, answers, strict=True):
            place = self.place(job.batch) if answer == "SEALED" else None
            if place is None:
                commands.append(("EXISTS", self._server.keys.for_queue(job.queue).job(job.id)))
            else:
                commands.append(("HGET", self._server.keys.for_queue(place.queue).batch_jobs(job.batch), job.id))
        with explained():
            found = list(zip(jobs, ask(self._server.client, commands), strict=True))
        # Those that a repeat finds taken out again had been taken, but were duplicates, for instance.
        counted = {job.id for job, row in found if isinstance(row, bytes) and (is_repeat or _is_counted(row))}
        # A batch that is gone had taken all or none.
        gone = {job.batch for job, row in found if is_repeat and row == 1}
        return counted | {job.id for job in jobs if job.batch in gone}

    def leave(self, jobs: Iterable[NewJob]) -> None:
        """Take jobs out of their batches that are not stored."""
        by_batch: dict[str, list[str]] = {}
        for job in jobs:
            if job.batch:
                by_batch.setdefault(job.batch, []).append(job.id)
        for batch_id, ids in by_batch.items():
            self._server.run(self._home(batch_id).leave_batch(batch_id, ids))

    def _home(self, batch_id: str) -> Queue:
        place = self.place(batch_id)
        return self._server.queue(place.queue if place else "default")

    def _telling(self, job: NewJob) -> NewJob:
        """Return a job whose end tells its batch, unless that is gone."""
        place = self.place(job.batch)
        if place is None:
            return job
        return msgspec.structs.replace(job, tells=(*job.tells, f"batch {place.queue} {job.batch}"))


def _is_counted(row: bytes) -> bool:
    return not row.startswith(UNSTORED.encode())


def batch_refusal(batch_id: str, answer: str) -> InvalidJob:
    """Return the error for a job that its batch does not take, by the reason: MISSING or SEALED."""
    if answer == "SEALED":
        return InvalidJob(f"the batch {batch_id} is sealed: it takes no more jobs", "/batch")
    return InvalidJob(f"there is no batch {batch_id}", "/batch")


def _raise(jobs: Sequence[NewJob], refused: Mapping[int, str]) -> NoReturn:
    errors = [(index, batch_refusal(jobs[index].batch, answer)) for index, answer in sorted(refused.items())]
    raise errors[0][1] if len(jobs) == 1 else InvalidBatch(errors)

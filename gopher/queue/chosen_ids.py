"""Ids that submitters choose (`job_id`): the same id is the same job, in whichever queue.

Such an id has an entry in an index of the installation: its queue, a digest of the submission and its owner, and since
when. It is written before the job is stored, so that two submissions can't store two jobs; one that is left of a job
that was not stored is replaced after a while. The queue itself remembers the id with the job and for a day, so a repeat
is recognized in the same step that would store it. Jobs without an entry are looked for in all queues.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gopher.base.salvage import replies, text
from gopher.errors import GopherError, InvalidJob, JobIdTaken, OutcomeUnknown
from gopher.jobs.job import NewJob
from gopher.jobs.submission import InvalidBatch
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .bounds import Bounds, rejection_of
from .enqueued import Enqueued
from .index_entries import Entry, read_entry, written_entry

if TYPE_CHECKING:
    from .store import Server

Result = TypeVar("Result")

#: The answer for a job whose chosen id is that of another one.
TAKEN = "TAKEN"
#: Seconds for which an entry is kept beyond the time at which its job is due, and its record is kept.
KEPT = 2 * 86400.0
#: Ids that one command looks for.
_LOOKED_UP = 1000
#: Seconds within which the job of an entry may still be about to be stored.
_ARRIVING = 60.0


class Claims:
    """The chosen ids of a submission."""

    def __init__(self, server: "Server", jobs: Sequence[NewJob], owner: str) -> None:
        self._server = server
        self._owner = owner
        #: Keys of entries that this submission has written.
        self._new: list[str] = []
        #: The jobs, and the indexes of those whose ids are those of other jobs.
        self.taken: list[int] = []
        self.jobs = self._claimed(jobs)

    def release(self) -> None:
        """Delete the new entries: nothing was stored."""
        if self._new:
            with explained():
                pipe = self._server.client.pipeline(transaction=False)
                for key in self._new:
                    pipe.delete(key)
                replies(pipe)

    def _claimed(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        own = [self._own(job) if job.named else job for job in jobs]
        places = [at for at, job in enumerate(own) if job.named]
        found = self._write([own[at] for at in places])
        without_entry = [own[at].id for at, entry in zip(places, found, strict=True) if entry is None]
        elsewhere = self._stored_without_entry(without_entry)
        for at, noted in zip(places, found, strict=True):
            entry = noted or elsewhere.get(own[at].id)
            if entry is None:
                continue
            if entry.digest == own[at].named:
                # It may have been moved to another queue meanwhile.
                own[at] = msgspec.structs.replace(own[at], queue=entry.queue)
            elif noted is None or self._is_stored(own[at].id, entry):
                self.taken.append(at)
            else:
                self._replace(own[at])
        return own

    def _own(self, job: NewJob) -> NewJob:
        digest = hashlib.sha256(f"{self._owner}\n{job.named}".encode()).hexdigest()
        return msgspec.structs.replace(job, named=digest[:32])

    def _write(self, jobs: Sequence[NewJob]) -> list[Entry | None]:
        """Write the entries of new jobs; return those that were there already."""
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for job in jobs:
                key, entry = self._entry_of(job)
                pipe.set(key, entry, nx=True, px=self._kept(job))
                pipe.get(key)
            found = replies(pipe)
        entries: list[Entry | None] = []
        for job, is_new, stored in zip(jobs, found[0::2], found[1::2], strict=True):
            entries.append(None if is_new else read_entry(stored))
            if is_new:
                self._new.append(self._server.keys.job_index(job.id))
        return entries

    def _stored_without_entry(self, job_ids: Sequence[str]) -> dict[str, Entry]:
        """Return where stored jobs are that have no entry: their ids were not chosen, or their entry has expired."""
        found: dict[str, Entry] = {}
        names = self._server.queues() if job_ids else []
        for at in range(0, len(job_ids), _LOOKED_UP):
            some = job_ids[at : at + _LOOKED_UP]
            every = [self._server.keys.for_queue(name) for name in names]
            with explained():
                counts = ask(self._server.client, [("EXISTS", *map(keys.job, some)) for keys in every])
            for keys in [keys for keys, count in zip(every, counts, strict=True) if count]:
                rows = self._server.run(self._server.queue(keys.queue).read_fields(some, ["state", "named"]))
                for job_id, (state, named) in zip(some, rows, strict=True):
                    if state is not None:
                        found[job_id] = Entry(keys.queue, text(named or b""))
        return found

    def _entry_of(self, job: NewJob) -> tuple[str, str]:
        entry = Entry(job.queue, job.named, round(time.time() * 1000))
        return self._server.keys.job_index(job.id), written_entry(entry)

    def _kept(self, job: NewJob) -> int:
        """Return for how long an entry is kept (ms)."""
        due = float(job.due[1:]) if job.due.startswith("+") else float(job.due or 0) - time.time() * 1000
        retention = self._server.settings.result_ttl if job.retention is None else job.retention
        return round(max(due, 0) + (retention + KEPT) * 1000)

    def _is_stored(self, job_id: str, entry: Entry) -> bool:
        """Return whether the job of an entry is stored, or may be within a moment."""
        if time.time() * 1000 - entry.since < _ARRIVING * 1000:
            return True
        keys = self._server.keys.for_queue(entry.queue)
        with explained():
            return bool(self._server.client.exists(keys.job(job_id), keys.named(job_id)))

    def _replace(self, job: NewJob) -> None:
        key, entry = self._entry_of(job)
        with explained():
            self._server.client.set(key, entry, px=self._kept(job))
        self._new.append(key)


def taken_in(reply: Enqueued, places: Sequence[int]) -> list[int]:
    """Return the indexes of the jobs whose ids are those of other jobs."""
    return [place for place, answer in zip(places, reply.answers, strict=True) if answer == TAKEN]


def id_taken(job: NewJob) -> JobIdTaken:
    return JobIdTaken(
        f"is the id of another job ({job.id}): choose a new one, or repeat that submission unchanged", "/job_id"
    )


def ids_taken(jobs: Sequence[NewJob], taken: Sequence[int]) -> JobIdTaken | InvalidBatch:
    """Return the error for jobs whose ids, by index, are those of other jobs: nothing is stored."""
    errors = [(index, id_taken(jobs[index])) for index in taken]
    return errors[0][1] if len(jobs) == 1 else IdsTaken(errors)


def refusal(jobs: Sequence[NewJob], reply: Enqueued, places: Sequence[int], bounds: Bounds | None) -> InvalidJob | None:
    """Return the error for jobs of a queue, by their indexes, of which none was stored; None if they were."""
    if reply.kind == "TAKEN":
        return ids_taken(jobs, taken_in(reply, places))
    return rejection_of(jobs, reply, places, bounds)


class IdsTaken(InvalidBatch):
    """Raised for a batch with ids of other jobs."""

    code = JobIdTaken.code


def with_claims(
    server: "Server",
    jobs: Sequence[NewJob],
    owner: str,
    store: Callable[[Sequence[NewJob]], list[Result]],
    refuse: Callable[[NewJob], Result] | None,
) -> list[Result]:
    """Store jobs of which some have chosen ids; return the result of each.

    With `refuse`, those whose ids are those of other jobs get its result. Otherwise raises JobIdTaken, InvalidBatch.
    """
    claims = Claims(server, jobs, owner)
    if claims.taken and refuse is None:
        claims.release()
        raise ids_taken(jobs, claims.taken)
    kept = [at for at in range(len(jobs)) if at not in set(claims.taken)]
    try:
        stored = store([claims.jobs[at] for at in kept]) if kept else []
    except OutcomeUnknown:
        raise
    except GopherError:
        claims.release()
        raise
    results = dict(zip(kept, stored, strict=True))
    return [results[at] if at in results or refuse is None else refuse(job) for at, job in enumerate(jobs)]

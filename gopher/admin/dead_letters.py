"""The dead letter queue: failed jobs that an operator can retry or discard."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from gopher.base.names import canonical_id
from gopher.base.salvage import order, text
from gopher.base.states import DEAD
from gopher.errors import InvalidJob, JobConflict
from gopher.interface import DeadLettersInterface
from gopher.interface.operation import takes
from gopher.jobs.filters import DeadFilter, DeadListing, DeadSelection, GroupFilter, RetryAll
from gopher.jobs.models import DeadLetterPage, GroupPage, RedriveView, StartedRedrive
from gopher.queue.missing import no_such_job
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.reads.criteria import error_class
from gopher.reads.groups import Groups, matches
from gopher.reads.jobs import Inspector
from gopher.reads.listing import Listing, dead_places
from gopher.reads.scan import Position, seek
from gopher.server.calls import Call
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .audit import audited
from .redrives import Redrives, Share

#: Dead letters that are moved or deleted per call, and read per round trip.
_CHUNK = 100


@audited
class DeadLetters(DeadLettersInterface):
    """Lists dead letters, retries or deletes them, on the server itself."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector
        self._listing = Listing(server, inspector)
        self._groups = Groups(server)
        self._redrives = Redrives(server)

    @takes(DeadListing)
    def page(self, asked: DeadListing) -> DeadLetterPage:
        """Return a page of dead letters, newest first, and how many match in all."""
        page = self._listing.dead_letters(asked)
        return DeadLetterPage(page.jobs, self._count_all(asked), page.next_cursor)

    @takes(GroupFilter)
    def groups(self, asked: GroupFilter) -> GroupPage:
        """Return the largest groups. Of one queue those 1,000 with the latest deaths are looked at; with a tenant, the
        latest 10,000 dead letters of each queue."""
        return self._groups.page(asked.queue, asked.limit, asked.tenant)

    @takes(DeadFilter)
    def count(self, which: DeadFilter) -> int:
        """Return how many dead letters match."""
        return self._count_all(which)

    def retry(self, job_id: str) -> None:
        """Retry a dead letter with fresh attempts; it keeps its id and history. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id := canonical_id(job_id), "retried")
        self._server.run(queue.redrive([job_id]))

    @takes(DeadSelection)
    def retry_all(self, which: DeadSelection) -> int:
        """Retry the dead letters that match, oldest first, `limit` at most; return how many.

        Jobs that fail while it runs are left alone.
        """
        return self._move(Queue.redrive, which)

    @takes(RetryAll)
    def retry_gradually(self, which: RetryAll) -> StartedRedrive:
        """Start a gradual redrive of the dead letters that match now, `limit` at most; the scheduler continues it.

        `canary` of each queue go first. Once all of those have completed the rest follows, at a `rate` such as `5/s`;
        if one of them fails, the redrive is stopped. Raises InvalidJob, naming /canary, /rate or /group.
        """
        shares: list[Share] = []
        for name in self._filled(self._queues(which.queue)):
            share = self._share(name, which)
            if which.limit is not None:
                share = share._replace(jobs=min(share.jobs, which.limit - sum(each.jobs for each in shares)))
            if share.jobs:
                shares.append(share)
        return self._redrives.start(shares, which)

    def redrives(self) -> list[RedriveView]:
        """Return the gradual redrives that are running, or ended within a day, latest first."""
        return self._redrives.all()

    def stop_redrive(self, redrive_id: str) -> bool:
        """Stop a gradual redrive; return whether it was still running. Raises RedriveNotFound."""
        return self._redrives.stop(redrive_id)

    def discard(self, job_id: str) -> None:
        """Delete a dead letter permanently. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id := canonical_id(job_id), "discarded")
        self._server.run(queue.discard([job_id]))

    @takes(DeadSelection)
    def discard_all(self, which: DeadSelection) -> int:
        """Delete the dead letters that match, oldest first, `limit` at most; return how many."""
        return self._move(Queue.discard, which)

    def _count_all(self, which: DeadFilter) -> int:
        names = self._queues(which.queue)
        if which.is_whole_queue:
            with explained():
                commands = [("ZCARD", self._server.keys.for_queue(name).failed) for name in names]
                return sum(ask(self._server.client, commands))
        return sum(self._count(name, which) for name in self._filled(names))

    def _queue_of(self, job_id: str, deed: str) -> Queue:
        """Return the queue of a dead letter.

        The state is read beforehand rather than derived from the call's count: a call whose reply was lost is sent
        again, and then counts none.
        """
        name = self._inspector.find(job_id)
        state = self._inspector.state(name, job_id) if name else None
        if name is None or state is None:
            raise no_such_job(self._server, job_id)
        if state not in DEAD:
            raise JobConflict(f"job {job_id} is {state}: only failed jobs can be {deed}")
        return self._server.queue(name)

    def _queues(self, queue: str | None) -> Sequence[str]:
        return self._server.queues() if queue is None else [queue]

    def _filled(self, names: Sequence[str]) -> list[str]:
        """Return the queues with dead letters."""
        with explained():
            there = ask(self._server.client, [("EXISTS", self._server.keys.for_queue(name).failed) for name in names])
        return [name for name, is_there in zip(names, there, strict=True) if is_there]

    def _share(self, queue: str, which: DeadFilter) -> Share:
        groups = self._groups.fitting(queue, which) if which.is_by_group else []
        if groups is None:
            raise InvalidJob(f"is required: queue {queue} has more groups than a filter can scan", "/group")
        return Share(queue, groups, self._count(queue, which))

    def _move(self, verb: Callable[[Queue, Sequence[str]], Call], which: DeadSelection) -> int:
        total = 0
        for name in self._filled(self._queues(which.queue)):
            found = self._find(name, which)
            if which.limit is not None:
                found = islice(found, max(which.limit - total, 0))
            while ids := list(islice(found, _CHUNK)):
                total += self._server.run(verb(self._server.queue(name), ids))
        return total

    def _count(self, queue: str, which: DeadFilter) -> int:
        if which.is_whole_queue:
            with explained():
                return int(self._server.client.zcard(self._server.keys.for_queue(queue).failed))
        groups = self._groups.fitting(queue, which) if which.tenant is None else None
        if groups is not None:
            return self._groups.count(queue, groups)
        return sum(1 for _ in self._find(queue, which))

    def _find(self, queue: str, which: DeadFilter) -> Iterator[str]:
        """Yield the ids of the currently matching dead letters, oldest first."""
        newest = self._inspector.now()
        streams = [self._stream(queue, place, which, newest) for place in dead_places(self._groups, queue, which)]
        return (position.id for position in heapq.merge(*streams))

    def _stream(self, queue: str, place: str, which: DeadFilter, newest: int) -> Iterator[Position]:
        client, key = self._server.client, self._server.keys.for_queue(queue).prefix + place
        after = Position(-1, "")
        while True:
            with explained():
                start = seek(client, key, after, oldest_first=True)
                rows = client.zrange(key, start, start + _CHUNK - 1, withscores=True)
            entries = [Position(order(score), text(member)) for member, score in rows if score <= newest]
            is_of_group = place not in DEAD and which.tenant is None
            yield from entries if is_of_group else self._fitting(queue, entries, which)
            if len(entries) < _CHUNK:
                return
            after = entries[-1]

    def _fitting(self, queue: str, entries: Sequence[Position], which: DeadFilter) -> Sequence[Position]:
        if not entries or which.is_whole_queue:
            return entries
        call = self._server.queue(queue).read_fields([entry.id for entry in entries], ["type", "error", "tenant"])
        records = self._server.run(call)
        return [
            entry
            for entry, (kind, reason, tenant) in zip(entries, records, strict=True)
            if kind is not None and matches(which, _known(kind, reason, tenant))
        ]


def _known(job_type: bytes, error: bytes | None, tenant: bytes | None) -> dict[str, str | None]:
    return {"job_type": text(job_type), "error": error_class(error), "tenant": text(tenant or b"")}

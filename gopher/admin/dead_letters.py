"""The dead letter queue: jobs that were given up, waiting for somebody to retry or discard them."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from gopher.base.salvage import order, text
from gopher.base.states import DEAD, State
from gopher.errors import InvalidJob, JobConflict
from gopher.jobs.models import DeadLetterPage, GroupPage, RetryView
from gopher.queue.missing import no_such_job
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.reads.groups import Groups, Which
from gopher.reads.jobs import Inspector
from gopher.reads.listing import Listing, dead_places, error_class
from gopher.reads.scan import Position, seek
from gopher.server.calls import Call
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .redrives import Redrives, Share, StartedRetry

#: Dead letters that are moved or deleted by one call, and read in one round trip.
_CHUNK = 100


class DeadLetters:
    """Looks at dead letters, gives them another chance, or deletes them.

    Which are meant is said by their type, by the class of their error, e.g. `ValueError`, by their group, and by
    their queue: those that fit all that is said.
    """

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector
        self._listing = Listing(server, inspector)
        self._groups = Groups(server)
        self._redrives = Redrives(server)

    def page(
        self,
        *,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """Return a page of dead letters, newest first, and how many fit the filters in all."""
        page = self._listing.jobs(
            status=State.FAILED, job_type=job_type, error=error, group=group, queue=queue, limit=limit, cursor=cursor
        )
        return DeadLetterPage(page.jobs, self.count(job_type, error, group, queue), page.next_cursor)

    def groups(self, queue: str | None = None, limit: int = 100) -> GroupPage:
        """Return the `limit` largest groups. Of one queue those 1,000 with the latest deaths are looked at."""
        return self._groups.page(queue, limit)

    def count(
        self,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
    ) -> int:
        """Return how many dead letters fit."""
        which, names = Which(job_type, error, group), self._queues(queue)
        if which == Which():
            with explained():
                commands = [("ZCARD", self._server.keys.for_queue(name).failed) for name in names]
                return sum(ask(self._server.client, commands))
        return sum(self._count(name, which) for name in self._filled(names))

    def retry(self, job_id: str) -> None:
        """Let a dead job start afresh, with the same id and history. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id, "retried")
        self._server.run(queue.redrive([job_id]))

    def retry_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int:
        """Retry the dead letters that fit, the oldest first, `limit` at most; return how many.

        Those that die while it runs are left alone.
        """
        return self._move(Queue.redrive, Which(job_type, error, group), limit, queue)

    def retry_gradually(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
        *,
        canary: int = 0,
        rate: str | None = None,
    ) -> StartedRetry:
        """Begin to retry the dead letters that fit now, `limit` at most; the scheduler goes on with it.

        `canary` of each queue go first. Once all of those have completed the rest follows, at a `rate` such as `5/s`;
        if one of them fails it is stopped. Raises InvalidJob, naming /canary, /rate or /group.
        """
        which = Which(job_type, error, group)
        shares: list[Share] = []
        for name in self._filled(self._queues(queue)):
            share = self._share(name, which)
            if limit is not None:
                share = share._replace(jobs=min(share.jobs, limit - sum(each.jobs for each in shares)))
            if share.jobs:
                shares.append(share)
        return self._redrives.start(shares, which, canary=canary, rate=rate)

    def retries(self) -> list[RetryView]:
        """Return what is being retried by and by, and for a day what was, the latest first."""
        return self._redrives.all()

    def stop_retry(self, retry_id: str) -> bool:
        """Retry no more of them; return whether it was still under way. Raises RetryNotFound."""
        return self._redrives.stop(retry_id)

    def discard(self, job_id: str) -> None:
        """Delete a dead letter for good. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id, "discarded")
        self._server.run(queue.discard([job_id]))

    def discard_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int:
        """Delete the dead letters that fit, the oldest first, `limit` at most; return how many."""
        return self._move(Queue.discard, Which(job_type, error, group), limit, queue)

    def _queue_of(self, job_id: str, deed: str) -> Queue:
        """Return the queue of a dead letter.

        Whether it is one is asked before, not told by the call's count: a call whose reply was lost is
        sent again, and then counts none.
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
        """Return those queues that have dead letters."""
        with explained():
            there = ask(self._server.client, [("EXISTS", self._server.keys.for_queue(name).failed) for name in names])
        return [name for name, is_there in zip(names, there, strict=True) if is_there]

    def _share(self, queue: str, which: Which) -> Share:
        groups = [] if which == Which() else self._groups.fitting(queue, which)
        if groups is None:
            raise InvalidJob(f"is needed: queue {queue} has more groups than a filter can look at", "/group")
        return Share(queue, groups, self._count(queue, which))

    def _move(
        self, verb: Callable[[Queue, Sequence[str]], Call], which: Which, limit: int | None, queue: str | None
    ) -> int:
        total = 0
        for name in self._filled(self._queues(queue)):
            found = self._find(name, which)
            if limit is not None:
                found = islice(found, max(limit - total, 0))
            while ids := list(islice(found, _CHUNK)):
                total += self._server.run(verb(self._server.queue(name), ids))
        return total

    def _count(self, queue: str, which: Which) -> int:
        if which == Which():
            with explained():
                return int(self._server.client.zcard(self._server.keys.for_queue(queue).failed))
        groups = self._groups.fitting(queue, which)
        if groups is not None:
            return self._groups.count(queue, groups)
        return sum(1 for _ in self._find(queue, which))

    def _find(self, queue: str, which: Which) -> Iterator[str]:
        """Yield the ids of dead letters that fit, the oldest first, of those that are there now."""
        newest = self._inspector.now()
        streams = [self._stream(queue, place, which, newest) for place in dead_places(self._groups, queue, which)]
        return (position.id for position in heapq.merge(*streams))

    def _stream(self, queue: str, place: str, which: Which, newest: int) -> Iterator[Position]:
        client, key = self._server.client, self._server.keys.for_queue(queue).prefix + place
        after = Position(-1, "")
        while True:
            with explained():
                start = seek(client, key, after, oldest_first=True)
                rows = client.zrange(key, start, start + _CHUNK - 1, withscores=True)
            entries = [Position(order(score), text(member)) for member, score in rows if score <= newest]
            yield from entries if place not in DEAD else self._fitting(queue, entries, which)
            if len(entries) < _CHUNK:
                return
            after = entries[-1]

    def _fitting(self, queue: str, entries: Sequence[Position], which: Which) -> Sequence[Position]:
        if not entries or which == Which():
            return entries
        call = self._server.queue(queue).read_fields([entry.id for entry in entries], ["type", "error"])
        records = self._server.run(call)
        return [
            entry
            for entry, (kind, reason) in zip(entries, records, strict=True)
            if kind is not None and which.type in (None, text(kind)) and which.error in (None, error_class(reason))
        ]

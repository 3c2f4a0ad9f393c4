"""The dead letter queue: jobs that were given up, waiting for somebody to retry or discard them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from .errors import JobConflict, JobNotFound
from .inspector import Inspector
from .job import State
from .listing import Listing, error_class
from .places import Position, seek
from .queue import Call, Queue
from .server import Server, explained
from .views import DeadLetterPage

#: Dead letters that are moved or deleted by one call, and read in one round trip.
_CHUNK = 100


class DeadLetters:
    """Looks at dead letters, gives them another chance, or deletes them."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector
        self._listing = Listing(server, inspector)

    def page(
        self, *, job_type: str | None = None, error: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> DeadLetterPage:
        """Return a page of dead letters, newest first, and how many fit the filters in all.

        `error` is the class of the error, e.g. `ValueError`. Counting what fits a filter reads every dead letter.
        """
        page = self._listing.jobs(status=State.FAILED, job_type=job_type, error=error, limit=limit, cursor=cursor)
        return DeadLetterPage(page.jobs, self._count(job_type, error), page.next_cursor)

    def retry(self, job_id: str) -> None:
        """Let a dead job start afresh, with the same id and history. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id, "retried")
        self._server.run(queue.redrive([job_id]))

    def retry_all(
        self, job_type: str | None = None, error: str | None = None, limit: int | None = None, queue: str | None = None
    ) -> int:
        """Retry the dead letters that fit, the oldest first, `limit` at most; return how many.

        Those that die while it runs are left alone.
        """
        return self._move(Queue.redrive, job_type, error, limit, queue)

    def discard(self, job_id: str) -> None:
        """Delete a dead letter for good. Raises JobNotFound, JobConflict."""
        queue = self._queue_of(job_id, "discarded")
        self._server.run(queue.discard([job_id]))

    def discard_all(
        self, job_type: str | None = None, error: str | None = None, limit: int | None = None, queue: str | None = None
    ) -> int:
        """Delete the dead letters that fit, the oldest first, `limit` at most; return how many."""
        return self._move(Queue.discard, job_type, error, limit, queue)

    def _queue_of(self, job_id: str, deed: str) -> Queue:
        """Return the queue of a dead letter.

        Whether it is one is asked before, not told by the call's count: a call whose reply was lost is
        sent again, and then counts none.
        """
        name = self._inspector.find(job_id)
        state = self._inspector.state(name, job_id) if name else None
        if name is None or state is None:
            raise JobNotFound(f"there is no job {job_id}, or its record has run out")
        if state != State.FAILED:
            raise JobConflict(f"job {job_id} is {state}: only failed jobs can be {deed}")
        return self._server.queue(name)

    def _move(
        self,
        verb: Callable[[Queue, Sequence[str]], Call],
        job_type: str | None,
        error: str | None,
        limit: int | None,
        queue: str | None,
    ) -> int:
        total = 0
        for name in self._server.queues() if queue is None else [queue]:
            found = self._find(name, job_type, error)
            if limit is not None:
                found = islice(found, max(limit - total, 0))
            while ids := list(islice(found, _CHUNK)):
                total += self._server.run(verb(self._server.queue(name), ids))
        return total

    def _count(self, job_type: str | None, error: str | None) -> int:
        names = self._server.queues()
        if job_type is None and error is None:
            with explained():
                return sum(self._server.client.zcard(self._server.keys.of(name).failed) for name in names)
        return sum(1 for name in names for _ in self._find(name, job_type, error))

    def _find(self, queue: str, job_type: str | None, error: str | None) -> Iterator[str]:
        """Yield the ids of dead letters that fit, the oldest first, of those that are there now."""
        client, key = self._server.client, self._server.keys.of(queue).failed
        newest = self._inspector.now()
        after = Position(-1, "")
        while True:
            with explained():
                start = seek(client, key, after, oldest_first=True)
                rows = client.zrange(key, start, start + _CHUNK - 1, withscores=True)
            entries = [Position(int(score), member.decode()) for member, score in rows if score <= newest]
            yield from self._fitting(queue, [entry.id for entry in entries], job_type, error)
            if len(entries) < _CHUNK:
                return
            after = entries[-1]

    def _fitting(self, queue: str, ids: Sequence[str], job_type: str | None, error: str | None) -> Sequence[str]:
        if not ids or (job_type is None and error is None):
            return ids
        keys, fields = self._server.keys.of(queue), ("type", *(["error"] if error is not None else []))
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for job_id in ids:
                pipe.hmget(keys.job(job_id), fields)
            records = pipe.execute()
        return [
            job_id
            for job_id, (kind, *reason) in zip(ids, records, strict=True)
            if kind is not None
            and job_type in (None, kind.decode())
            and (error is None or error_class(reason[0]) == error)
        ]

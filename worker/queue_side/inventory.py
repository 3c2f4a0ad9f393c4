"""Reconciles the worker's list in the server with the jobs that the worker holds.

A job in its list that the worker does not hold would stay `processing` as long as the worker runs, since its lease
covers it. No cause of this is known; this is a safeguard against unknown ones.

The reply to a heartbeat has the length of the list. When it is read, all earlier calls have been answered: so the
worker holds at least as many jobs, except for one of a blocking pop. Only if it holds fewer, for several heartbeats in
a row, a script compares the list token by token.
"""

from collections.abc import Callable

from gopher.queue.replies import Reclaimed
from gopher.telemetry.logs import get_logger

from .fetcher import Fetcher

log = get_logger("worker")

#: Consecutive heartbeats with too many jobs in the list until a fetch checks for them, and until they are requeued.
LOOK_AFTER, RECLAIM_AFTER = 2, 3


class Inventory:
    """Reconciles the list of a queue."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        #: Consecutive heartbeats with too many jobs.
        self._beats = 0

    def forget(self) -> None:
        """Start over: the worker has a new id, and a new list."""
        self._beats = 0

    def compare(self, listed: int, tokens: Callable[[], list[str]], worker_id: str) -> None:
        """Process the length of the list from a heartbeat. `tokens` returns the held jobs."""
        if not listed:
            self._beats = 0
            return
        held = tokens()
        if listed <= len(held):
            self._beats = 0
            return
        self._beats += 1
        if self._beats == LOOK_AFTER:
            # A fetch returns jobs that were popped but not started, or started by a blocking pop with a lost reply.
            self._fetcher.look_again()
        elif self._beats >= RECLAIM_AFTER:
            self._beats = 0
            self._reclaim(worker_id, held)

    def _reclaim(self, worker_id: str, held: list[str]) -> None:
        queue, fetcher = self._fetcher.queue, self._fetcher
        call = queue.reclaim(worker_id, held, *fetcher.next_numbers, fetcher.lost_pops)
        fetcher.pipeline.add(call, self._answered)

    def _answered(self, reply: Reclaimed | Exception) -> None:
        if isinstance(reply, Exception):
            log.error("could not requeue jobs that this worker does not hold", error=str(reply))
            return
        for job_id in reply.job_ids:
            log.warning(
                "requeued a job that was in this worker's list but not held by it",
                job_id=job_id,
                queue=self._fetcher.queue.name,
            )

"""Whether the jobs that the server says are in this worker's hands are in its hands.

A job that is in its list and that it does not know of would stay `processing` for as long as the worker lives: its
lease covers it. There is no way known to get there; this is for those that are not known.

The answer to a heartbeat says how many jobs stand in the list. When it is read, all that was sent before it has been
answered: so the worker holds at least as many, but for one that a blocking pop brings. Only where it holds fewer,
beat after beat, is the list compared token by token, in a script.
"""

from collections.abc import Callable

from gopher.queue.replies import Reclaimed
from gopher.telemetry.logs import get_logger

from .fetcher import Fetcher

log = get_logger("worker")

#: Heartbeats in a row with too many jobs in the list until a fetch looks for them, and until they are taken back.
LOOK_AFTER, RECLAIM_AFTER = 2, 3


class Inventory:
    """Compares the list of one queue."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        #: Heartbeats in a row that found too many.
        self._beats = 0

    def forget(self) -> None:
        """Begin anew: the worker has another id, and another list."""
        self._beats = 0

    def compare(self, listed: int, tokens: Callable[[], list[str]], worker_id: str) -> None:
        """Take the answer to a heartbeat: how many jobs stand in the list. `tokens` says what is held."""
        if not listed:
            self._beats = 0
            return
        held = tokens()
        if listed <= len(held):
            self._beats = 0
            return
        self._beats += 1
        if self._beats == LOOK_AFTER:
            # What was popped and not begun, or begun by a blocking pop whose reply was lost, comes by a fetch.
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
            log.error("jobs that are not held could not be given back", error=str(reply))
            return
        for job_id in reply.job_ids:
            log.warning(
                "a job was given back: it stood in this worker's list and the worker did not hold it",
                job_id=job_id,
                queue=self._fetcher.queue.name,
            )

"""The fetcher of a queue whose jobs get only a part of a worker's children."""

from collections.abc import Callable
from typing import Any

from .fetcher import Fetcher, Taker


class BoundedFetcher(Fetcher):
    """Fetches no more jobs than `spare` says: how many more of them the children may have now."""

    def __init__(self, *args: Any, spare: Callable[[], int], **options: Any) -> None:
        super().__init__(*args, **options)
        self._spare = spare

    def wants_fetch(self, now: float) -> bool:
        return super().wants_fetch(now) and self._left() > 0

    def fetch(self, worker_id: str, want: int, now: float, take: Taker, *, only: str = "") -> None:
        # At least one, for a job that is already in our list.
        super().fetch(worker_id, max(min(want, self._left()), 1), now, take, only=only)

    def listen(self, worker_id: str, now: float, spare: float, take: Taker) -> None:
        if not self.blocking_pop.waiting and self._left() > 0:
            super().listen(worker_id, now, spare, take)

    def wake_at(self) -> float:
        # The end of one of its jobs makes room.
        return super().wake_at() if self._must_look or self._left() > 0 else float("inf")

    def _left(self) -> int:
        """Return how many jobs may be requested: the blocking pop may return one, too."""
        return self._spare() - bool(self.blocking_pop.waiting)

"""Keeps handlers from changing anything on a server, while jobs are replayed in this process (`gopherctl replay`).

Clients look here before they change anything. All changes are made outside of `holding`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

# Programs that only submit jobs need none of them.
if TYPE_CHECKING:
    from gopher.jobs.batch import BatchView, NewBatch
    from gopher.jobs.files import Upload
    from gopher.jobs.job import NewJob


class Holder(Protocol):
    """Takes note of changes that are not made, and gives callers an answer in their place."""

    def store(self, jobs: "Sequence[NewJob]") -> list[str]:
        """Return the ids of jobs that are not stored."""

    def upload(self, name: str, size: int) -> "Upload":
        """Return a file that is not uploaded."""

    def create_batch(self, batch: "NewBatch") -> "BatchView":
        """Return a batch that is not created."""

    def seal_batch(self, batch_id: str) -> "BatchView":
        """Return a batch that is not sealed."""

    def refuse(self, action: str) -> NoReturn:
        """Raise the error of any other change, such as `flow.pause_queue`."""


#: Where changes by clients of this process go; None: to the server.
holder: Holder | None = None


@contextmanager
def holding(new: Holder | None) -> Iterator[None]:
    """Keep all clients of this process from changing anything."""
    global holder  # noqa: PLW0603 - clients may be used in any thread
    before, holder = holder, new
    try:
        yield
    finally:
        holder = before

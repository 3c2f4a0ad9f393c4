"""A job that a worker holds, from its fetch until its outcome is settled."""

import msgspec

from gopher.jobs.handlers import Handler
from gopher.queue.replies import FetchedJob

from .messages import Assignment


class Running(msgspec.Struct, eq=False):
    """A job of a child: the first one is running, the others are queued in the channel."""

    job: FetchedJob
    queue: str
    #: None for an unregistered type; such a job is never assigned to a child.
    handler: Handler | None
    max_retries: int
    timeout: float
    worker_id: str
    #: Seconds after the submission within which an attempt may start; None: no limit.
    retry_for: float | None = None
    number: int = 0
    #: Whether its child had another job when it was assigned.
    follows: bool = False
    #: Monotonic seconds; infinity while it is not the first.
    started: float = float("inf")
    kill_at: float = float("inf")
    #: Why it was interrupted: interrupt.TIMEOUT or CANCEL, 0 if it was not.
    interrupted: int = 0
    progress: bytes = b""

    def assignment(self) -> Assignment:
        """Return what a child is told of it."""
        return Assignment(self.number, self.job, self.queue, self.max_retries, self.timeout, self.follows)

"""A job that a worker has in its hands, from the reply to its fetch until its outcome is settled."""

import msgspec

from gopher.jobs.handlers import Handler
from gopher.queue.replies import FetchedJob

from .messages import Assignment


class Running(msgspec.Struct, eq=False):
    """A job in a child's hands: the first one runs, others behind it wait in the channel."""

    job: FetchedJob
    queue: str
    #: None for a type that is not registered here; such a job is never given to a child.
    handler: Handler | None
    max_retries: int
    timeout: float
    worker_id: str
    #: Seconds after the submission in which an attempt may begin; None: no limit.
    retry_for: float | None = None
    number: int = 0
    #: Whether its child had another job in its hands when it was given this one.
    follows: bool = False
    #: Monotonic seconds; infinity while it is not the first.
    started: float = float("inf")
    kill_at: float = float("inf")
    #: Why it was interrupted: interrupt.TIMEOUT or CANCEL, 0 when it was not.
    interrupted: int = 0
    progress: bytes = b""

    def assignment(self) -> Assignment:
        """Return what a child is told of it."""
        return Assignment(self.number, self.job, self.queue, self.max_retries, self.timeout, self.follows)

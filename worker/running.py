"""A job that a worker holds, from its fetch until its outcome is settled."""

import msgspec

from gopher.jobs.handlers import Handler
from gopher.queue.replies import FetchedJob

from .messages import Assignment


class Running(msgspec.Struct, eq=False, gc=False):
    """A job of a child: the first one is running, the others are queued in the channel."""

    job: FetchedJob
    queue: str
    #: None for an unregistered type; such a job is never assigned to a child.
    handler: Handler | None
    max_retries: int
    timeout: float
    worker_id: str
    #: When no other attempt is started any more, in monotonic seconds, which all processes of a machine share.
    give_up_at: float = float("inf")
    number: int = 0
    #: Whether its child had another job when it was assigned.
    follows: bool = False
    #: Monotonic seconds; infinity while it is not the first.
    started: float = float("inf")
    kill_at: float = float("inf")
    #: Why it was interrupted: interrupt.TIMEOUT or CANCEL, 0 if it was not.
    interrupted: int = 0
    progress: bytes = b""
    #: Whether its child was asked for the stack that it has at the end of its timeout.
    stack_asked: bool = False
    #: Seconds for which it was frozen: `started` is that much later than its start.
    frozen: float = 0.0
    #: By which the memory of its type is learned: of the size of its files, 0 without any (`base.latencies`).
    file_class: int = 0
    #: Since when it waits for memory (monotonic s), None if it does not; then, the bytes that it needs, and whether its
    #: record says so.
    held_at: float | None = None
    needs: int = 0
    is_told: bool = False

    def assignment(self) -> Assignment:
        """Return what a child is told of it."""
        return Assignment(
            self.number, self.job, self.queue, self.max_retries, self.timeout, self.follows, self.give_up_at
        )

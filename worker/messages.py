"""Messages between the supervisor and a child, as msgpack arrays."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from gopher.queue.replies import FetchedJob

Kind = Literal["error", "retry", "discard", "snooze", "rate_limited", "timeout", "cancelled"]


class Assignment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A job for the child to run. `number` counts this child's assignments. Durations in seconds."""

    number: int
    job: FetchedJob
    queue: str
    max_retries: int
    timeout: float
    #: Whether it was assigned while the child had another job: then a mark separates their output.
    follows: bool = False
    #: When no other attempt is started any more (monotonic s).
    give_up_at: float = float("inf")


class Usage(msgspec.Struct, array_like=True, frozen=True):
    """What an attempt has used: seconds of CPU time, and the peak of resident memory in bytes, 0 if not known."""

    user: float
    system: float
    peak: int


class Completed(msgspec.Struct, array_like=True, tag="c", frozen=True, gc=False):
    """The handler returned; `result` is JSON, b"" for None."""

    number: int
    seconds: float
    result: bytes
    #: None for short attempts.
    usage: Usage | None = None


class Failed(msgspec.Struct, array_like=True, tag="f", frozen=True):
    """The handler raised, or was interrupted.

    `after` (seconds, None: by its backoff) is the delay of the retry or snooze; for a rate limit, how long what `scope`
    names is throttled.
    """

    number: int
    seconds: float
    kind: Kind
    error_type: str
    message: str
    traceback: str
    after: float | None
    #: Where in the handler's code it was raised, e.g. `shop/mail.py:42 send`.
    place: str = ""
    #: What middleware was told of it: nothing (0), that it has failed (1), also that no attempt follows (2).
    told: int = 0
    #: None for short attempts.
    usage: Usage | None = None
    scope: str = ""


class Progress(msgspec.Struct, array_like=True, tag="p", frozen=True):
    """Progress reported by the handler: a fraction from 0 to 1, and a message."""

    number: int
    fraction: float
    message: str


class Ready(msgspec.Struct, array_like=True, tag="r", frozen=True):
    """The child has started and is waiting for jobs."""


class Retiring(msgspec.Struct, array_like=True, tag="x", frozen=True):
    """The child takes no other job: its last one has left something that can't be put back."""

    why: str


Message = Completed | Failed | Progress | Ready | Retiring
#: To test a message for: with a union, it would take five times as long.
OUTCOMES = (Completed, Failed)

encode = msgspec.msgpack.Encoder().encode
decode_assignments = msgspec.msgpack.Decoder(list[Assignment]).decode
decode_message = msgspec.msgpack.Decoder(Message).decode

#: Maximum bytes of jobs per message, so that the child can start before all large ones have arrived.
TOGETHER = 32 * 1024


def packed(assignments: Iterable[Assignment]) -> Iterator[bytes]:
    """Yield messages for one child: some assignments together, a large one alone."""
    some: list[Assignment] = []
    size = 0
    for each in assignments:
        own = _size(each.job)
        if some and size + own > TOGETHER:
            yield encode(some)
            some, size = [], 0
        some.append(each)
        size += own
    yield encode(some)


def _size(job: FetchedJob) -> int:
    """Estimate the bytes of an assignment: ids of parents are as long as small results."""
    parents = sum(len(parent) + len(result) for parent, result in job.parents.items()) if job.parents else 0
    return len(job.envelope) + 300 + parents

"""The replies of scripts, and how each is read."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from gopher.base.salvage import order, text

from .enqueued import with_exceptions

_T = TypeVar("_T")


class Ticks(NamedTuple):
    """Schedules that are due: (name, time in ms, definition), as they are stored; when the next after them is due."""

    now: int
    next_due: int | None
    due: list[tuple[bytes, bytes, bytes]]


class Prelude(NamedTuple):
    """What came before an attempt, for its span."""

    #: The token of the previous attempt, "" for a first one.
    previous: str = ""
    #: Milliseconds that the job has waited since it was due.
    waited: int = 0


class FetchedJob(msgspec.Struct, array_like=True, gc=False):
    """A fetched job with its token; counters are those of this job so far. The first fields are a row of the reply."""

    id: str
    token: str
    type: str
    priority: str
    attempt: int = 1
    #: How its children died, e.g. `("SIGSEGV", "exit 0")`.
    crashes: tuple[str, ...] = ()
    lost: int = 0
    #: "" unless the fetch requested it.
    prelude: Prelude | Literal[""] = ""
    #: Until their results are read.
    parent_ids: tuple[str, ...] = ()
    #: When no other attempt is started any more, in the server's ms; 0: never, or the record lacks it.
    give_up: int = 0
    envelope: bytes = b""
    #: The results (JSON, b"" for none) of the jobs that it waited for, by id.
    parents: dict[str, bytes] = msgspec.field(default_factory=dict)


class Fetched(NamedTuple):
    """The jobs of a fetch. `lost` means that the worker's lease was taken away.

    `next_number` is the number of the first token of the next fetch of this kind.
    """

    lost: bool
    now: int
    more: bool
    jobs: list[FetchedJob]
    next_number: int


class Heartbeat(NamedTuple):
    """Whether the worker's lease was taken away, how many jobs are in its list, which running jobs to cancel, and what
    operators want it to do (`worker.commands`)."""

    lost: bool
    now: int
    listed: int
    cancelling: list[str]
    commands: list[str]


class Reclaimed(NamedTuple):
    """Jobs of a worker's list that it did not hold. `lost` means that its lease was taken away."""

    lost: bool
    job_ids: list[str]


class Promoted(NamedTuple):
    """How many jobs were moved, when the next is due (ms, None: nothing waits for a time), the server's now (ms)."""

    moved: int
    next_due: int | None
    now: int


class Posted(NamedTuple):
    """What is due in an outbox: entries as they are stored, by queue; times in the server's ms."""

    now: int
    next_due: int | None
    entries: dict[str, list[bytes]]


class Rescued(NamedTuple):
    """How many jobs were rescued. If the server's clock was set, `step` says by how many ms, and no job was rescued."""

    step: int | None
    now: int
    returned: int
    died: int
    workers: list[str]


class Pruned(NamedTuple):
    """How many jobs left the index, where to start next time, how many dead letters were deleted, and how many corrupt
    records are known."""

    finished: int
    place: int
    dead: int
    corrupt: int


class Evicted(NamedTuple):
    """How many records were removed early, about how many bytes that freed, where to start next time, and how many are
    kept only because their jobs have just ended."""

    records: int
    bytes: int
    place: int
    young: int


class Purged(NamedTuple):
    """The number of deleted jobs, and when (the server's ms) the purge started."""

    jobs: int
    began: int


class Sampled(NamedTuple):
    """The number of samples taken, and the server's time (ms)."""

    taken: int
    now: int


class GroupRow(NamedTuple):
    """A group of dead letters: type, error class and location, one per line; times in Unix ms."""

    group: str
    name: bytes
    jobs: int
    first: int
    last: int
    last_job_id: str


_decode_rows = msgspec.msgpack.Decoder(list[FetchedJob]).decode
_decode_sizes = msgspec.msgpack.Decoder(list[int]).decode


def read_answer(reply: bytes) -> str:
    return reply.decode()


def read_answers(reply: list[bytes]) -> list[str]:
    return [answer.decode() for answer in reply]


def reader_of_answers(count: int) -> Callable[[list[Any]], list[str]]:
    return lambda reply: with_exceptions(reply, ["OK"] * count)


def read_fetched(reply: list[Any]) -> Fetched:
    if reply[0] == b"LOST":
        return Fetched(True, 0, False, [], 0)
    _, now, more, number, rows, sizes, texts = reply
    jobs = _decode_rows(rows)
    pieces = iter(_cut(texts, _decode_sizes(sizes)))
    for job in jobs:
        job.envelope = next(pieces)
        if job.parent_ids:
            job.parents = {parent: next(pieces) for parent in job.parent_ids}
            job.parent_ids = ()
    return Fetched(False, now, bool(more), jobs, number)


def _cut(texts: bytes, sizes: list[int]) -> list[bytes]:
    """Split texts that were joined."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(texts[at : at + size])
        at += size
    return pieces


def read_ticks(reply: list[Any]) -> Ticks:
    due = list(zip(reply[2::3], reply[3::3], reply[4::3], strict=True))
    return Ticks(int(reply[0]), order(reply[1]) if reply[1] != b"" else None, due)


def read_heartbeat(reply: list[Any]) -> Heartbeat:
    if reply[0] == b"LOST":
        return Heartbeat(True, 0, 0, [], [])
    return Heartbeat(False, int(reply[1]), int(reply[2]), _texts(reply[4:]), _texts(reply[3]))


def read_reclaimed(reply: list[bytes]) -> Reclaimed:
    return Reclaimed(reply[0] == b"LOST", _texts(reply[1:]))


def _texts(values: list[bytes]) -> list[str]:
    return [value.decode() for value in values]


def read_groups(reply: list[Any]) -> list[GroupRow]:
    rows = (reply[at : at + 6] for at in range(0, len(reply), 6))
    return [
        GroupRow(text(group), name, int(jobs), order(first), order(last), text(last_job_id))
        for group, name, jobs, first, last, last_job_id in rows
    ]


def read_lengths(reply: list[Any]) -> dict[str, int]:
    pairs = iter(reply)
    return {text(tenant): length for tenant, length in zip(pairs, pairs, strict=True)}


def read_promoted(reply: list[Any]) -> Promoted:
    return Promoted(int(reply[0]), int(reply[1]) if reply[1] != b"" else None, int(reply[2]))


def read_posted(reply: list[Any]) -> Posted:
    now, next_due, *rest = reply
    names = [name.decode(errors="replace") for name in rest[0::2]]
    return Posted(int(now), None if next_due == b"" else int(next_due), dict(zip(names, rest[1::2], strict=True)))


def read_rescued(reply: list[Any]) -> Rescued:
    if reply[0] == b"STEP":
        return Rescued(int(reply[1]), 0, 0, 0, [])
    return Rescued(None, int(reply[1]), int(reply[2]), int(reply[3]), [worker.decode() for worker in reply[4:]])


def read_tick(reply: list[bytes]) -> str:
    return reply[0].decode()


def _reader_of_numbers(kind: Callable[..., _T]) -> Callable[[list[Any]], _T]:
    return lambda reply: kind(*map(int, reply))


read_purged = _reader_of_numbers(Purged)
read_pruned = _reader_of_numbers(Pruned)
read_evicted = _reader_of_numbers(Evicted)
read_sampled = _reader_of_numbers(Sampled)

"""What is delivered of a queue's outbox to other queues, by kind of entry (see `relay`).

A delivery consists of calls in the queue that the entries are for. They may run more than once with the same entries,
also late, and must then change nothing more. Entries of a job come in the order in which they were posted.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.jobs.batch import callback_job
from gopher.server.calls import Call, Command, Sendable
from gopher.telemetry.logs import get_logger

from .arguments import Request
from .batch_moves import Counted
from .keys import Keys
from .moves import Queue

log = get_logger("relay")


class Entry(NamedTuple):
    """An entry of the outbox (see library/outbox.lua)."""

    kind: str
    #: What it concerns in the queue that it is for: the id of a batch, for instance.
    about: str
    job_id: str
    #: The state that the job is in now: one in which it has ended, `pending` if it was redriven, `deleted`, or `moved`.
    state: str
    #: Counts the failures and redrives of the job; 0 for ends that are final.
    round: int
    #: When it was posted (the server's ms).
    at: int
    #: What else entries of the kind have.
    rest: tuple[object, ...] = ()


#: Returns the calls that deliver entries, all of one kind, to a queue. The name is that of the queue that posted them.
#: A reply that is a list of indexes of entries keeps these in the outbox: they are delivered again later.
Delivery = Callable[[str, Queue, Sequence[Entry]], Sequence[Sendable]]


def move_in(queue: Queue, entries: Sequence[Entry]) -> Call:
    """Store jobs that were moved here: what entries are about is the move, and they have the job with its fields."""
    return queue.arrive([_moved(entry) for entry in entries])


def _moved(entry: Entry) -> tuple[str, str, str, str, list[bytes]]:
    due, fields = entry.rest
    if not isinstance(fields, list):
        raise TypeError(fields)
    return entry.about, entry.job_id, entry.state, str(due), [*map(_value, fields)]


def _value(value: str | list[str]) -> bytes:
    """Return a name or a value as it was: one that is no ASCII text comes in hexadecimal digits (depart.lua)."""
    return value.encode() if isinstance(value, str) else bytes.fromhex(value[0])


def _count(origin: str, home: Queue, entries: Sequence[Entry]) -> list[Call]:
    """Count the ends of jobs in their batches, and note where those are that are moved."""
    call = home.count_jobs(
        (entry.about, entry.job_id, entry.state, entry.round, str(*entry.rest) or origin) for entry in entries
    )

    def read(reply: Any) -> Counted:
        counted: Counted = call.read(reply)
        if counted.missing:
            log.warning("dropped ends of jobs whose batches do not exist", queue=origin, batches=counted.missing)
        return counted

    return [call._replace(read=read)]


def _call_back(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Sendable]:
    """Enqueue the jobs of callbacks: with ids that follow from the batch, and once, even if they are gone by now."""
    names = Keys(queue.keys.namespace).queues
    # It may have been removed meanwhile.
    calls: list[Sendable] = [Command(names, ("SADD", names, queue.name))]
    for entry in entries:
        job = callback_job(str(entry.rest[0]), entry.about, entry.state, entry.at)
        key = hashlib.sha256(f"batch {entry.about} {entry.state}".encode()).hexdigest()
        calls.append(queue.enqueue([job], Request(key, key, str(entry.at))))
    return calls


def _probe(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Call]:
    """Look at jobs of a batch that have not ended as far as it knows."""
    return [queue.probe(origin, entry.about, _ids(entry)) for entry in entries]


def _cancel(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Call]:
    return [queue.cancel(job_id) for entry in entries for job_id in _ids(entry)]


def _redrive(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Call]:
    return [queue.redrive(_ids(entry)) for entry in entries]


def _follow(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Call]:
    """Have parents tell the queue of their children how they end."""
    # If a parent has moved on, the queue that it left has passed that on.
    by_queue: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        by_queue.setdefault(str(*entry.rest) or origin, []).append(index)
    return [_asked(queue, children, entries, indexes) for children, indexes in by_queue.items()]


def _asked(queue: Queue, children: str, entries: Sequence[Entry], indexes: Sequence[int]) -> Call:
    """Return the call that has the parents of some entries tell the queue of their children."""
    call = queue.follow(children, [(entries[index].about, entries[index].at) for index in indexes])
    return call._replace(read=lambda reply: [indexes[missing] for missing in call.read(reply)])


def _release(origin: str, queue: Queue, entries: Sequence[Entry]) -> list[Call]:
    """Notify the jobs that wait for a job of another queue, or for a batch, which has ended."""
    calls = []
    for entry in entries:
        result, kept_for = entry.rest
        calls.append(queue.release_children(entry.job_id, entry.state, str(result), int(str(kept_for))))
    return calls


def _ids(entry: Entry) -> list[str]:
    return str(entry.rest[0]).split(",")


DELIVERIES: dict[str, Delivery] = {
    "batch": _count,
    "callback": _call_back,
    "probe": _probe,
    "cancel": _cancel,
    "redrive": _redrive,
    "follow": _follow,
    "parent": _release,
    "move": lambda origin, queue, entries: [move_in(queue, entries)],
}
_decode: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[Any]).decode


def entry_of(stored: bytes) -> Entry:
    """Read an entry as it is stored. Raises ValueError, TypeError or a MsgspecError for a corrupt one."""
    kind, about, job_id, state, round_, at, *rest = _decode(stored)
    if (
        not all(isinstance(each, str) for each in (kind, about, job_id, state))
        or kind not in DELIVERIES.keys() | STEPWISE
    ):
        raise ValueError("unknown kind of entry")
    return Entry(kind, about, job_id, state, int(round_), int(at), tuple(rest))


#: Kinds that are delivered by several calls, each of which needs the reply to the one before.
STEPWISE = frozenset({"webhook"})

#: Yields calls, and is sent the reply to each: of the queue that has posted entries, all of one kind.
Steps = Callable[[Queue, Sequence[Entry]], Generator[Sendable, Any, None]]

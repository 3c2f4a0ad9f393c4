"""What schedulers continue step by step, in each queue: gradual redrives, and cancellations of many jobs."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from gopher.base.names import canonical_id
from gopher.base.salvage import is_corrupt, text
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.server.calls import Call
from gopher.server.round_trips import ask, ask_rows

#: How many are shown per queue.
_SHOWN = 1000


class Record(NamedTuple):
    """An operation's record in a queue. Without fields it is corrupt."""

    id: str
    queue: str
    fields: Mapping[str, bytes]


def records(server: Server, index: str, key: str) -> Iterator[Record]:
    """Yield the operations that are under way or have ended lately; `index` is the key of all, `key` that of one."""
    every = [server.keys.for_queue(queue) for queue in server.queues()]
    found = ask(server.client, [("ZRANGE", getattr(keys, index), 0, _SHOWN - 1) for keys in every])
    places = [(keys, text(member)) for keys, ids in zip(every, found, strict=True) for member in ids]
    rows = ask_rows(server.client, [("HGETALL", getattr(keys, key)(operation_id)) for keys, operation_id in places])
    for (keys, operation_id), record in zip(places, rows, strict=True):
        if is_corrupt(record):
            yield Record(operation_id, keys.queue, {})
        elif record:
            yield Record(operation_id, keys.queue, {text(name): value for name, value in record.items()})


def stop_everywhere(server: Server, operation_id: str, stop: Callable[[Queue, str], Call]) -> bool | None:
    """Stop an operation in all queues; return whether it was still under way, None if there is none."""
    answers = server.run_each([stop(server.queue(name), canonical_id(operation_id)) for name in server.queues()])
    return None if set(answers) <= {"MISSING"} else "STOPPED" in answers


def known_status(state: bytes, statuses: Collection[str]) -> str:
    """Return a status. Raises ValueError for an unknown one."""
    if state.decode() not in statuses:
        raise ValueError(state)
    return state.decode()

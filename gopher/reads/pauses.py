"""Which queues and types are paused, and for how long."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.salvage import order, text
from gopher.queue.keys import QueueKeys
from gopher.server.round_trips import Words, ask, ask_groups

#: Types with a limit, or paused ones, that are looked at in each queue.
_TYPES = 500


class Pauses(NamedTuple):
    """For how long (s) a queue has been paused, None if it is not; and types in it, by name."""

    queue: float | None
    types: dict[str, float]


def questions(keys: QueueKeys) -> list[Words]:
    """Return what to ask about a queue: whether it is paused, and the types that may be."""
    return [("GET", keys.paused), ("SMEMBERS", keys.limited)]


def questions_of_types(keys: QueueKeys, limited: Collection[bytes]) -> list[Words]:
    """Return what to ask about the types of the second answer."""
    return [("HGET", keys.limit(name), "paused") for name in _names(limited)]


def pauses(now: int, paused_at: bytes | None, limited: Collection[bytes], types_at: Sequence[bytes | None]) -> Pauses:
    """Return the pauses of a queue by the answers to both; `now` is the server's (ms)."""
    found = zip(_names(limited), types_at, strict=True)
    return Pauses(_since(now, paused_at), {name: _since(now, at) or 0.0 for name, at in found if at is not None})


def pauses_of(client: Any, queues: Sequence[QueueKeys], now: int) -> dict[str, Pauses]:
    """Return the pauses of queues that have any."""
    counts = ask(client, [("EXISTS", keys.paused, keys.limited) for keys in queues])
    queues = [keys for keys, count in zip(queues, counts, strict=True) if count]
    firsts = ask_groups(client, list(map(questions, queues)))
    asked = [questions_of_types(keys, limited) for keys, (_, limited) in zip(queues, firsts, strict=True)]
    seconds = ask_groups(client, asked)
    found = {
        keys.queue: pauses(now, paused_at, limited, types_at)
        for keys, (paused_at, limited), types_at in zip(queues, firsts, seconds, strict=True)
    }
    return {queue: each for queue, each in found.items() if each != Pauses(None, {})}


def _names(limited: Collection[bytes]) -> list[str]:
    return sorted(map(text, limited))[:_TYPES]


def _since(now: int, at: bytes | None) -> float | None:
    """Return the seconds since a time; 0 if it is corrupt."""
    return None if at is None else in_seconds(max(now - order(at, now), 0))

"""Sends many commands in one round trip, or in one per node of a cluster."""

from collections.abc import Sequence
from typing import Any

from gopher.base.salvage import is_corrupt, replies

#: Maximum commands per round trip, whose replies the server has to buffer.
_TOGETHER = 5000
#: Commands that reply with a number, and those that reply with a list.
_COUNTS = {"EXISTS", "LLEN", "SCARD", "ZCARD", "ZCOUNT"}
_LISTS = {"HKEYS", "LRANGE", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE"}

Words = tuple[str | int | bytes, ...]


def ask(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Send plain commands, whose first argument is a key, and return the replies in order.

    If a key has another type, the reply is that of a missing key.
    """
    found = ask_rows(client, commands)
    return [_nothing(words) if is_corrupt(reply) else reply for words, reply in zip(commands, found, strict=True)]


def ask_rows(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Like `ask`, but return the error if a key has another type, to show it in a row."""
    found: list[Any] = []
    for at in range(0, len(commands), _TOGETHER):
        pipe = client.pipeline(transaction=False)
        for words in commands[at : at + _TOGETHER]:
            pipe.execute_command(*words)
        found += replies(pipe)
    return found


def ask_groups(client: Any, groups: Sequence[Sequence[Words]]) -> list[list[Any]]:
    """Send groups of commands like `ask`, and return the replies in the same groups."""
    found = iter(ask(client, [words for group in groups for words in group]))
    return [[next(found) for _ in group] for group in groups]


def _nothing(words: Words) -> Any:
    """Return the server's reply to a command for a missing key."""
    name = words[0]
    if name == "HGETALL":
        return {}
    if name == "HMGET":
        return [None] * (len(words) - 2)
    if name == "SMEMBERS":
        return set()
    return 0 if name in _COUNTS else [] if name in _LISTS else None

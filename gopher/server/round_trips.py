"""Many commands in one round trip; on a cluster in one for each node."""

from collections.abc import Sequence
from typing import Any

from gopher.base.salvage import is_corrupt, replies

#: Commands that are sent at a time: the replies of more would have to be held by the server.
_TOGETHER = 5000
#: Commands whose reply is a number, and those whose reply is a list.
_COUNTS = {"EXISTS", "LLEN", "SCARD", "ZCARD", "ZCOUNT"}
_LISTS = {"LRANGE", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE"}

Words = tuple[str | int, ...]


def ask(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Send plain commands, each with a key behind its name, and return the replies in order.

    Where something else stands at a key (a list where a hash should be), the reply is that of a key that is not there.
    """
    found = ask_rows(client, commands)
    return [_nothing(words) if is_corrupt(reply) else reply for words, reply in zip(commands, found, strict=True)]


def ask_rows(client: Any, commands: Sequence[Words]) -> list[Any]:
    """Do what `ask` does, but return the error where something else stands at a key: to show that in a row."""
    found: list[Any] = []
    for at in range(0, len(commands), _TOGETHER):
        pipe = client.pipeline(transaction=False)
        for words in commands[at : at + _TOGETHER]:
            pipe.execute_command(*words)
        found += replies(pipe)
    return found


def ask_groups(client: Any, groups: Sequence[Sequence[Words]]) -> list[list[Any]]:
    """Send groups of commands together as `ask` does, and return the replies in the same groups."""
    found = iter(ask(client, [words for group in groups for words in group]))
    return [[next(found) for _ in group] for group in groups]


def _nothing(words: Words) -> Any:
    """Return what the server answers to a command whose key is not there."""
    name = words[0]
    if name == "HGETALL":
        return {}
    if name == "HMGET":
        return [None] * (len(words) - 2)
    if name == "SMEMBERS":
        return set()
    return 0 if name in _COUNTS else [] if name in _LISTS else None

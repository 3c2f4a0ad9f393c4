"""Finds the queues that have a key, such as the record of a job whose id does not tell its queue.

One command can ask about keys of all queues, unless they are on different slots of a cluster. So finding nothing costs
one command, however many queues there are, and what is found is searched among groups of them.
"""

from collections.abc import Callable, Iterable, Sequence
from math import isqrt

from gopher.server.round_trips import ask

from .keys import QueueKeys
from .store import Server

#: Up to this number, all queues are asked one by one.
_FEW = 10
#: Maximum number of keys per command.
_TOGETHER = 5000


def queues_with(
    server: Server, queues: Sequence[str], key_of: Callable[[QueueKeys], str], *, alike: bool = False
) -> list[str]:
    """Return which of the queues have a key.

    With `alike`, the server gets as many commands if none has it as if one has, so that the time of an answer does not
    tell.
    """

    def asked(groups: Iterable[Sequence[str]]) -> list[str]:
        """Return the queues of those groups of which at least one has it."""
        every = list(groups)
        keys = [[key_of(server.keys.for_queue(name)) for name in group] for group in every]
        counts = ask(server.client, [("EXISTS", *group) for group in keys])
        return [name for group, count in zip(every, counts, strict=True) if count for name in group]

    found = list(queues)
    if len(found) > _FEW and not server.pools.clustered:
        for size in (_TOGETHER, isqrt(min(len(found), _TOGETHER))):
            found = asked(_groups(found, size)) or (found[:size] if alike else [])
    return asked([name] for name in found)


def _groups(queues: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return [queues[at : at + size] for at in range(0, len(queues), size)]

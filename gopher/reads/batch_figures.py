"""Figures of batches, and of what waits to be told to other queues; counted when someone asks."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gopher.base.salvage import order, text
from gopher.base.states import State
from gopher.queue.keys import QueueKeys
from gopher.server.round_trips import ask, ask_groups

#: The latest batches of a queue that are counted.
MOST = 1_000
#: What a batch can be in the counts; those that have ended are together.
OPEN, RUNNING, ENDED = "open", "running", "ended"
_FIELDS = ("created", "sealed_at", f"n:{State.PENDING}")


def batches_by_status(client: Any, queues: Sequence[QueueKeys]) -> Counter[str]:
    """Return the number of batches by status, of the latest 1,000 of each queue."""
    found = ask(client, [("ZREVRANGE", keys.batches, 0, MOST - 1) for keys in queues])
    records = [keys.batch(text(each)) for keys, ids in zip(queues, found, strict=True) for each in ids]
    counts = Counter({OPEN: 0, RUNNING: 0, ENDED: 0})
    for created, sealed_at, pending in ask(client, [("HMGET", record, *_FIELDS) for record in records]):
        # Its record expires before its entry is removed.
        if created is not None:
            counts[OPEN if sealed_at is None else RUNNING if order(pending) > 0 else ENDED] += 1
    return counts


def outbox_length(client: Any, queues: Sequence[QueueKeys]) -> int:
    """Return how many entries wait to be delivered to other queues, and to webhooks."""
    found = ask_groups(client, [[("ZRANGE", keys.outboxes, 0, -1)] for keys in queues])
    lists = [keys.outbox(text(to)) for keys, (names,) in zip(queues, found, strict=True) for to in names]
    return sum(ask(client, [("LLEN", key) for key in lists]))

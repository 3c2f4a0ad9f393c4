"""What tenants use: how many of their jobs wait and run.

Counted when someone asks, so that it costs the jobs nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import text
from gopher.base.states import RUNNING
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.calls import Call
from gopher.server.round_trips import ask, ask_groups

#: Maximum number of tenants that are read of the ring of a priority, per call, and of running jobs of a queue.
_MOST = 20_000
_BLOCK = 500
_MOST_RUNNING = 2_000


def waiting_by_tenant(server: Server, queues: Sequence[QueueKeys]) -> Counter[str]:
    """Return the number of waiting jobs by tenant, "" for jobs without one while tenants wait too."""
    blocks = list(_blocks(server, queues))
    counted = server.run_each([call for *_, call in blocks])
    # By list, as one may be met twice: the ring turns between two calls.
    by_list = defaultdict[tuple[str, str], dict[str, int]](dict)
    for (queue, priority, _), lengths in zip(blocks, counted, strict=True):
        by_list[queue, priority] |= lengths
    counts = Counter[str]()
    for lengths in by_list.values():
        counts.update(lengths)
    return +counts


def _blocks(server: Server, queues: Sequence[QueueKeys]) -> Iterator[tuple[str, str, Call]]:
    """Yield queue, priority and call that count the jobs of some tenants each, in turn or resting."""
    found = ask_groups(
        server.client,
        [
            [("SRANDMEMBER", keys.resting, _MOST), *(("LLEN", keys.ring(priority)) for priority in PRIORITIES)]
            for keys in queues
        ],
    )
    for keys, (members, *lengths) in zip(queues, found, strict=True):
        queue, resting = server.queue(keys.queue), defaultdict[str, list[str]](list)
        for member in map(text, members or ()):
            priority, _, tenant = member.partition(":")
            resting[priority].append(tenant)
        for priority, length in zip(PRIORITIES, lengths, strict=True):
            for at in range(0, min(length, _MOST), _BLOCK):
                yield keys.queue, priority, queue.tenant_lengths(priority, range(at, at + _BLOCK))
            for at in range(0, len(resting[priority]), _BLOCK):
                yield keys.queue, priority, queue.tenant_lengths(priority, resting[priority][at : at + _BLOCK])


def running_by_tenant(client: Any, queues: Sequence[QueueKeys]) -> Counter[str]:
    """Return the number of running jobs by tenant, "" for jobs without one."""
    workers = ask(client, [("ZRANGE", keys.workers, 0, -1) for keys in queues])
    lists = [
        (keys, keys.processing(text(worker))) for keys, names in zip(queues, workers, strict=True) for worker in names
    ]
    held = ask(client, [("LRANGE", key, 0, _MOST_RUNNING - 1) for _, key in lists])
    jobs = [keys.job(text(job_id)) for (keys, _), ids in zip(lists, held, strict=True) for job_id in ids]
    tenants = ask(client, [("HMGET", key, "state", "tenant") for key in jobs])
    return Counter(text(tenant or b"") for state, tenant in tenants if text(state or b"") in RUNNING)

"""What tenants use: how many of their jobs wait and run.

Counted when someone asks, so that it costs the jobs nothing.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import text
from gopher.base.states import RUNNING
from gopher.queue.keys import QueueKeys
from gopher.server.round_trips import ask, ask_groups

#: Maximum number of tenants that are read of the ring of a priority, and of running jobs of a queue.
_MOST = 20_000
_MOST_RUNNING = 2_000


def waiting_by_tenant(client: Any, queues: Sequence[QueueKeys]) -> Counter[str]:
    """Return the number of waiting jobs by tenant, "" for jobs without one while tenants wait too."""
    found = ask_groups(
        client,
        [
            [
                ("SRANDMEMBER", keys.resting, _MOST),
                *(("LRANGE", keys.ring(priority), -_MOST, -1) for priority in PRIORITIES),
            ]
            for keys in queues
        ],
    )
    lists: list[tuple[str, str]] = []
    for keys, (resting, *rings) in zip(queues, found, strict=True):
        for member in resting or ():
            priority, _, tenant = text(member).partition(":")
            lists.append((tenant, keys.pending_of(priority, tenant)))
        for priority, ring in zip(PRIORITIES, rings, strict=True):
            lists += [
                (tenant, keys.pending_of(priority, tenant) if tenant else keys.pending(priority))
                for tenant in map(text, ring)
            ]
    counts = Counter[str]()
    for (tenant, _), length in zip(lists, ask(client, [("LLEN", key) for _, key in lists]), strict=True):
        counts[tenant] += length
    return +counts


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

"""Statistics of queues, read in three round trips regardless of their number."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gopher.base.counters import OUTCOMES, event_of
from gopher.base.durations import in_seconds
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import order, text
from gopher.base.states import IN_SORTED_SETS
from gopher.jobs.stats import PriorityStats, QueueStats
from gopher.queue.keys import QueueKeys
from gopher.server.round_trips import Words, ask_groups

from .pauses import Pauses, pauses, questions, questions_of_types

#: Maximum number of buckets whose lists are read: with a limit for each key there may be any number. Of more, jobs are
#: counted by the scripts, and only these are asked for their oldest job.
_BUCKETS = 20
#: How many tenants of each priority are asked for their oldest job: the next ones in the ring.
_TENANTS = 20


class _Look(NamedTuple):
    """The result of the first round trip for a queue."""

    #: The number of jobs in each of the sorted sets.
    sizes: dict[str, int]
    live: list[bytes]
    fenced: list[bytes]
    totals: dict[bytes, bytes]
    #: By priority.
    tombstones: list[bytes | None]
    #: The job in `next`.
    following: bytes | None
    #: Of throttled jobs: not all, if there are very many.
    buckets: list[bytes]
    #: Number of throttled jobs by priority.
    parked_jobs: list[bytes | None]
    #: When the queue was paused, and the types that may be.
    paused_at: bytes | None
    limited: set[bytes]
    #: Number of ids in the lists of tenants by priority.
    tenant_ids: list[bytes | None]
    #: By priority, the next tenants of the ring.
    rings: tuple[list[bytes], ...]

    @property
    def has_all_buckets(self) -> bool:
        return len(self.buckets) <= _BUCKETS


def stats_of(client: Any, queues: Sequence[QueueKeys], now: int) -> dict[str, QueueStats]:
    """Return the statistics of queues by name; `now` is the server's (ms).

    Cancelled jobs that are still in a list do not count as waiting.
    """
    looks = [_look(*replies) for replies in ask_groups(client, list(map(_first_questions, queues)))]
    lists = [_lists(keys, look) for keys, look in zip(queues, looks, strict=True)]
    held = [[*look.live, *look.fenced] for look in looks]
    lengths = ask_groups(client, [_lengths(*row) for row in zip(queues, lists, held, strict=True)])
    # The oldest job of a list is its head; the job in `next` came from one of them.
    heads = [
        [look.following, *replies[1 : 2 * len(names) : 2]]
        for look, names, replies in zip(looks, lists, lengths, strict=True)
    ]
    asked = [
        (_of_heads(keys, each), _held_keys(keys, look, now), questions_of_types(keys, look.limited))
        for keys, each, look in zip(queues, heads, looks, strict=True)
    ]
    found = ask_groups(client, [[*records, *held, *types] for records, held, types in asked])
    return {
        keys.queue: _figures(
            look,
            names,
            replies,
            _ages(last[: len(records)], now),
            last[len(records) : len(records) + len(held)],
            pauses(now, look.paused_at, look.limited, last[len(records) + len(held) :]),
        )
        for keys, look, names, replies, (records, held, _), last in zip(
            queues, looks, lists, lengths, asked, found, strict=True
        )
    }


def _first_questions(keys: QueueKeys) -> list[Words]:
    return [
        *(("ZCARD", keys.of_state(state)) for state in IN_SORTED_SETS),
        ("ZRANGE", keys.workers, 0, -1),
        ("ZRANGE", keys.fenced, 0, -1),
        ("HGETALL", keys.totals),
        ("HMGET", keys.tombstones, *PRIORITIES),
        ("LINDEX", keys.next, 0),
        ("ZRANGE", keys.throttled, 0, _BUCKETS),
        ("HMGET", keys.parked_jobs, *PRIORITIES),
        *questions(keys),
        ("HMGET", keys.tenant_ids, *PRIORITIES),
        *(("LRANGE", keys.ring(priority), -_TENANTS, -1) for priority in PRIORITIES),
    ]


def _look(*replies: Any) -> _Look:
    cut = len(IN_SORTED_SETS)
    others, rings = replies[cut : -len(PRIORITIES)], replies[-len(PRIORITIES) :]
    return _Look(dict(zip(IN_SORTED_SETS, replies[:cut], strict=True)), *(*others, rings))


def _lists(keys: QueueKeys, look: _Look) -> list[tuple[str, str]]:
    """Return (priority, key) of each list of waiting jobs, pending lists first, those of tenants last."""
    pending = [(priority, keys.pending(priority)) for priority in PRIORITIES]
    parked = [(name, keys.parked(text(bucket), name)) for bucket in look.buckets for name in PRIORITIES]
    of_tenants = [
        (priority, keys.pending_of(priority, text(tenant)))
        for priority, ring in zip(PRIORITIES, look.rings, strict=True)
        for tenant in ring
        if tenant
    ]
    return pending + parked + of_tenants


def _lengths(keys: QueueKeys, lists: Sequence[tuple[str, str]], workers: Sequence[bytes]) -> list[Words]:
    waiting: list[Words] = [words for _, key in lists for words in (("LLEN", key), ("LINDEX", key, -1))]
    return [*waiting, *(("LLEN", keys.processing(text(worker))) for worker in workers)]


def _of_heads(keys: QueueKeys, heads: Sequence[bytes | None]) -> list[Words]:
    return [("HMGET", keys.job(text(head)), "priority", "since") for head in heads if head]


def _held_keys(keys: QueueKeys, look: _Look, now: int) -> list[Words]:
    """Ask how many keys of each type are throttled."""
    return [("ZCOUNT", keys.held(text(name)), f"({now}", "+inf") for name in sorted(look.limited)]


def _ages(records: Sequence[Sequence[bytes | None]], now: int) -> list[tuple[str | None, float]]:
    """Return (priority, seconds waiting) of each job; (None, 0.0) if its record is missing."""
    # The waiting time of a corrupt one is unknown.
    return [
        (text(priority), in_seconds(max(now - order(since, now), 0))) if priority and since else (None, 0.0)
        for priority, since in records
    ]


def _figures(
    look: _Look,
    lists: Sequence[tuple[str, str]],
    lengths: Sequence[Any],
    ages: Sequence[tuple[str | None, float]],
    held: Sequence[int],
    paused: Pauses,
) -> QueueStats:
    cut = 2 * len(lists)
    by_list = [(priority, int(length)) for (priority, _), length in zip(lists, lengths[0:cut:2], strict=True)]
    following = ages[0][0] if look.following else None
    priorities = {}
    for at, priority in enumerate(PRIORITIES):
        ids = by_list[at][1] + order(look.tenant_ids[at])
        pending = max(ids - order(look.tombstones[at]), 0) + (priority == following)
        if look.has_all_buckets:
            in_buckets = by_list[len(PRIORITIES) : len(PRIORITIES) * (1 + len(look.buckets))]
            parked = sum(length for name, length in in_buckets if name == priority)
        else:
            parked = max(order(look.parked_jobs[at]), 0)
        oldest = max((age for name, age in ages if name == priority), default=0.0)
        priorities[priority] = PriorityStats(pending + parked, oldest)
    counted = sum_totals(look.totals)
    return QueueStats(
        waiting=sum(each.waiting for each in priorities.values()),
        processing=sum(lengths[cut:]),
        **look.sizes,
        oldest_waiting_age=max(each.oldest_waiting_age for each in priorities.values()),
        priorities=priorities,
        total_enqueued=counted.get("enqueued", 0),
        total_dequeued=counted.get("dequeued", 0),
        totals={event: counted.get(event, 0) for event in OUTCOMES},
        paused_for=paused.queue,
        paused_types=paused.types,
        throttled_keys=sum(held),
    )


def sum_totals(totals: Mapping[bytes, bytes]) -> dict[str, int]:
    """Sum the counters over types and priorities: `{"enqueued": 12, "failed": 1}`."""
    sums: dict[str, int] = {}
    for field, count in counters(totals).items():
        event = event_of(field)
        sums[event] = sums.get(event, 0) + count
    return sums


def counters(found: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return counters by name. Invalid ones count as 0."""
    return {text(name): order(count, 0) for name, count in found.items()}

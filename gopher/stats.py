"""The figures of one queue, read in three round trips."""

from collections.abc import Mapping
from typing import Any

from .job import PRIORITIES
from .keys import QueueKeys
from .salvage import is_corrupt, order, replies, text
from .server_clock import now_at
from .views import PriorityStats, QueueStats

#: What is counted of the jobs that were begun.
EVENTS = ("completed", "failed", "retried", "cancelled", "expired")


def queue_stats(client: Any, keys: QueueKeys) -> QueueStats:
    """Return the figures of a queue. Jobs that were cancelled where they wait do not count as waiting."""
    now = now_at(client, keys.prefix)
    pipe = client.pipeline(transaction=False)
    for waiting in (keys.scheduled, keys.retrying, keys.failed):
        pipe.zcard(waiting)
    pipe.zrange(keys.workers, 0, -1)
    pipe.zrange(keys.fenced, 0, -1)
    pipe.hgetall(keys.totals)
    scheduled, retrying, failed, live, fenced, totals = pipe.execute()
    priorities = _priorities(client, keys, now // 1000)
    counted = sum_totals(totals)
    return QueueStats(
        waiting=sum(each.waiting for each in priorities.values()),
        processing=_processing(client, keys, [*live, *fenced]),
        scheduled=scheduled,
        retrying=retrying,
        failed=failed,
        oldest_waiting_age=max(each.oldest_waiting_age for each in priorities.values()),
        priorities=priorities,
        total_enqueued=counted.get("enqueued", 0),
        total_dequeued=counted.get("dequeued", 0),
        totals={event: counted.get(event, 0) for event in EVENTS},
    )


def _priorities(client: Any, keys: QueueKeys, now: int) -> dict[str, PriorityStats]:
    pipe = client.pipeline(transaction=False)
    pipe.hmget(keys.tombstones, PRIORITIES)
    pipe.lindex(keys.next, 0)
    for priority in PRIORITIES:
        pipe.llen(keys.pending(priority))
        pipe.lindex(keys.pending(priority), -1)
    tombstones, following, *lists = pipe.execute()
    parked, heads = _parked(client, keys)
    # The oldest of a list is its head; the job in `next` was taken from one of them.
    rows = _priority_and_age(client, keys, [following, *lists[1::2], *heads], now)
    following_priority = rows[0][0]
    return {
        priority: PriorityStats(
            waiting=max(length - order(dead), 0) + (priority == following_priority) + parked[priority],
            oldest_waiting_age=max((age for name, age in rows if name == priority), default=0.0),
        )
        for priority, length, dead in zip(PRIORITIES, lists[0::2], tombstones, strict=True)
    }


def _parked(client: Any, keys: QueueKeys) -> tuple[dict[str, int], list[bytes | None]]:
    """Return how many jobs of each priority wait because their type is over its limit, and the oldest of each kind."""
    buckets = [bucket.decode() for bucket in client.zrange(keys.throttled, 0, -1)]
    pipe = client.pipeline(transaction=False)
    for priority in PRIORITIES:
        for bucket in buckets:
            pipe.llen(keys.parked(bucket, priority))
            pipe.lindex(keys.parked(bucket, priority), -1)
    found = pipe.execute() if buckets else []
    lengths, heads, rows = found[0::2], found[1::2], len(buckets)
    counts = {name: sum(lengths[at * rows : (at + 1) * rows]) for at, name in enumerate(PRIORITIES)}
    return counts, [head for head in heads if head is not None]


def _priority_and_age(
    client: Any, keys: QueueKeys, ids: list[bytes | None], now: int
) -> list[tuple[str | None, float]]:
    """Return (priority, seconds waiting) of each job; (None, 0.0) where there is none."""
    pipe = client.pipeline(transaction=False)
    for job_id in ids:
        pipe.hmget(keys.job(job_id.decode() if job_id else "-"), "priority", "since")
    return [_waiting(row, now) for row in replies(pipe)]


def _waiting(row: Any, now: int) -> tuple[str | None, float]:
    if is_corrupt(row) or not all(row):
        return None, 0.0
    priority, since = row
    # Since when one waits that is corrupt is not known.
    return text(priority), max(now - order(since, now * 1000) / 1000, 0.0)


def _processing(client: Any, keys: QueueKeys, workers: list[bytes]) -> int:
    pipe = client.pipeline(transaction=False)
    for worker in workers:
        pipe.llen(keys.processing(worker.decode()))
    return sum(pipe.execute()) if workers else 0


def sum_totals(totals: Mapping[bytes, bytes]) -> dict[str, int]:
    """Add the counters up over types and priorities: `{"enqueued": 12, "failed": 1}`."""
    sums: dict[str, int] = {}
    for field, count in counters(totals).items():
        event = field.partition(":")[0]
        sums[event] = sums.get(event, 0) + count
    return sums


def counters(found: Mapping[bytes, bytes]) -> dict[str, int]:
    """Return counters by name. One that is no number counts as 0."""
    return {text(name): order(count, 0) for name, count in found.items()}

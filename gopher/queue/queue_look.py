"""All keys of a queue, read at once: what its invariants are checked by."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gopher.base.counters import event_of
from gopher.base.salvage import order, text, texts
from gopher.base.states import IN_SORTED_SETS

from .keys import QueueKeys

#: Copies of ids that an export reads.
_COPIES = (QueueKeys.snapshot.head, QueueKeys.copied.head, QueueKeys.copied_sorted.head)


class Look:
    """All keys of one queue."""

    def __init__(self, client: Any, keys: QueueKeys) -> None:
        self.records: dict[str, dict[str, str]] = {}
        #: Ms until each record expires, -1 for never.
        self.times: dict[str, int] = {}
        self.lists: dict[str, list[str]] = {}
        self.zsets: dict[str, list[str]] = {}
        #: Parent -> ids of its children, apart from those that its record names.
        self.children: dict[str, list[str]] = {}
        #: Job of another queue, or one that has not been imported yet -> ids of the jobs that wait for it.
        self.awaiting: dict[str, list[str]] = {}
        #: Ended jobs whose children still have to be notified.
        self.telling: set[str] = set()
        #: Completed job -> ms until the list of those that will read its result expires.
        self.readers: dict[str, int] = {}
        #: Queues for which there is something in the outbox.
        self.outbox: set[str] = set()
        self.redrives: dict[str, dict[str, str]] = {}
        #: Names of the groups of dead letters.
        self.group_names: set[str] = set()
        self.sets: dict[str, set[str]] = {}
        self.unique: dict[str, str] = {}
        self.totals = Counter[str]()
        self.tombstones: dict[str, int] = {}
        #: Priority -> the tenants in its ring, and the number of ids in the lists of tenants, as counted.
        self.rings: dict[str, list[str]] = {}
        self.tenant_ids: dict[str, int] = {}
        #: Priority -> number of throttled jobs, as counted.
        self.parked_jobs: dict[str, int] = {}
        #: Owner -> number of waiting jobs, as counted.
        self.waiting: dict[str, int] = {}
        self.paused = False
        # In a cluster, one node has all keys of a queue.
        pattern = keys.prefix.replace("[", "\\[").replace("*", "\\*") + "*"
        for raw, kind, time, value in _read_all(client, sorted(set(client.scan_iter(match=pattern, count=1000)))):
            self._take(text(raw).removeprefix(keys.prefix), kind, time, value)

    def _take(self, name: str, kind: str, time: int, value: Any) -> None:
        if not value or name.startswith(_COPIES):
            # It expired or was emptied between the scan and the read, or is of an export.
            return
        job_id, key = part(QueueKeys.job.head, name), part(QueueKeys.unique.head, name)
        if job_id and kind == "hash":
            self.records[job_id], self.times[job_id] = texts(value), time
        elif key:
            self.unique[key] = text(value) if kind == "string" else ""
        elif kind == "hash":
            self._take_counts(name, texts(value))
        elif kind == "list":
            self._take_list(name, time, [text(item) for item in value])
        elif kind == "zset" and not name.startswith(QueueKeys.timeline.head):
            self.zsets[name] = [text(item) for item in value]
        elif kind == "set":
            self.sets[name] = {text(item) for item in value}
        self.paused = self.paused or name == QueueKeys.paused.head

    def _take_list(self, name: str, time: int, items: list[str]) -> None:
        if name == QueueKeys.telling.head:
            self.telling = {item[1:].partition(" ")[0] for item in items}
        elif parent := part(QueueKeys.children.head, name):
            self.children[parent] = items
        elif parent := part(QueueKeys.awaiting.head, name) or part(QueueKeys.remote_children.head, name):
            self.awaiting[parent] = items
        elif completed := part(QueueKeys.readers.head, name):
            self.readers[completed] = time
        elif to := part(QueueKeys.outbox.head, name):
            self.outbox.add(to)
        elif priority := part(QueueKeys.ring.head, name):
            self.rings[priority] = items
        elif name != QueueKeys.alarm.head and not name.startswith(QueueKeys.commands.head):
            self.lists[name] = items

    def _take_counts(self, name: str, counts: dict[str, str]) -> None:
        if name == QueueKeys.totals.head:
            for field, count in counts.items():
                self.totals[event_of(field)] += order(count)
        elif redrive := part(QueueKeys.redrive.head, name):
            self.redrives[redrive] = counts
        elif name == QueueKeys.group_names.head:
            self.group_names = set(counts)
        elif noted := self._counted_by_priority(name):
            noted[0].update({field: order(count) for field, count in counts.items()})
        elif name == QueueKeys.waiting.head:
            self.waiting = {owner: order(count) for owner, count in counts.items()}

    def _counted_by_priority(self, name: str) -> tuple[dict[str, int]] | None:
        counts = {
            QueueKeys.tombstones.head: self.tombstones,
            QueueKeys.parked_jobs.head: self.parked_jobs,
            QueueKeys.tenant_ids.head: self.tenant_ids,
        }
        return (counts[name],) if name in counts else None

    def places_of(self) -> dict[str, list[str]]:
        """Return the places of each id: names of lists and sorted sets."""
        places: dict[str, list[str]] = {}
        for name, ids in self.lists.items():
            for job_id in ids:
                places.setdefault(job_id, []).append(name)
        for name in (*IN_SORTED_SETS, QueueKeys.finished.head):
            for job_id in self.zsets.get(name, []):
                places.setdefault(job_id, []).append(name)
        return places


def tenant_list(name: str) -> tuple[str, str]:
    """Return the priority and the tenant of a tenant's list, "" for another key's."""
    priority, _, tenant = part(QueueKeys.pending_of.head, name).partition(":")
    return priority, tenant


def part(head: str, name: str) -> str:
    """Return what follows the head of a key, "" for another one's."""
    return name.removeprefix(head) if name.startswith(head) else ""


def _read_all(client: Any, names: list[bytes]) -> Iterator[tuple[bytes, str, int, Any]]:
    """Yield keys with types, remaining times (ms) and values, read in two round trips.

    A time is read after its value: a job that is completed meanwhile must not look like one that never expires.
    """
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.type(name)
    kinds = [kind.decode() for kind in pipe.execute()] if names else []
    for name, kind in zip(names, kinds, strict=True):
        if kind == "hash":
            pipe.hgetall(name)
        elif kind == "list":
            pipe.lrange(name, 0, -1)
        elif kind == "zset":
            pipe.zrange(name, 0, -1)
        elif kind == "set":
            pipe.smembers(name)
        else:
            pipe.get(name)
        pipe.pttl(name)
    read = pipe.execute() if names else []
    return zip(names, kinds, read[1::2], read[0::2], strict=True)

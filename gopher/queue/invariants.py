"""Invariants of a queue's keys, checked by reading all of them (see the protocol in docs/internals.md).

For tests, and for operators who suspect that keys were changed by hand. It reads every key of the queue, which is slow
for large queues.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gopher.base.counters import LEAVING, event_of
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import order, text, texts
from gopher.base.states import DEAD, ENDED, FINISHED, IN_SORTED_SETS, QUEUED, RUNNING, WAITING

from .keys import QueueKeys

_NEXT, _PENDING, _PARKED, _PROCESSING = (
    each.head for each in (QueueKeys.next, QueueKeys.pending, QueueKeys.parked, QueueKeys.processing)
)
_FINISHED, _GROUP, _HOLDING = (each.head for each in (QueueKeys.finished, QueueKeys.group, QueueKeys.holding))

#: Fields that a record marked as plain must not have.
_RARE = {"expires", "retention", "unique", "bucket", "parents", "children", "parked", "holds", "cancel"}


class _Look:
    """All keys of one queue."""

    def __init__(self, client: Any, keys: QueueKeys) -> None:
        self.records: dict[str, dict[str, str]] = {}
        #: Ms until each record expires, -1 for never.
        self.times: dict[str, int] = {}
        self.lists: dict[str, list[str]] = {}
        self.zsets: dict[str, list[str]] = {}
        #: (parent, child) for each child that still has to be notified of its parent's end.
        self.telling: list[tuple[str, str]] = []
        self.redrives: dict[str, dict[str, str]] = {}
        #: Names of the groups of dead letters.
        self.group_names: set[str] = set()
        self.sets: dict[str, set[str]] = {}
        self.unique: dict[str, str] = {}
        self.totals = Counter[str]()
        self.tombstones: dict[str, int] = {}
        self.paused = False
        # In a cluster, one node has all keys of a queue.
        pattern = keys.prefix.replace("[", "\\[").replace("*", "\\*") + "*"
        for raw, kind, time, value in _read_all(client, sorted(set(client.scan_iter(match=pattern, count=1000)))):
            self._take(text(raw).removeprefix(keys.prefix), kind, time, value)

    def _take(self, name: str, kind: str, time: int, value: Any) -> None:
        if not value:
            # It expired or was emptied between the scan and the read.
            return
        job_id, key = _part(QueueKeys.job.head, name), _part(QueueKeys.unique.head, name)
        if job_id and kind == "hash":
            self.records[job_id], self.times[job_id] = texts(value), time
        elif key:
            self.unique[key] = text(value) if kind == "string" else ""
        elif kind == "hash":
            self._take_counts(name, texts(value))
        elif name == QueueKeys.telling.head:
            for parent, _, ids in (text(item)[1:].partition(" ") for item in value):
                self.telling += [(parent, child) for child in ids.split(",")]
        elif kind == "list" and name != QueueKeys.alarm.head:
            self.lists[name] = [text(item) for item in value]
        elif kind == "zset" and not name.startswith(QueueKeys.timeline.head):
            self.zsets[name] = [text(item) for item in value]
        elif kind == "set":
            self.sets[name] = {text(item) for item in value}
        self.paused = self.paused or name == QueueKeys.paused.head

    def _take_counts(self, name: str, counts: dict[str, str]) -> None:
        if name == QueueKeys.totals.head:
            for field, count in counts.items():
                self.totals[event_of(field)] += order(count)
        elif redrive := _part(QueueKeys.redrive.head, name):
            self.redrives[redrive] = counts
        elif name == QueueKeys.group_names.head:
            self.group_names = set(counts)
        elif name == QueueKeys.tombstones.head:
            self.tombstones = {field: order(count) for field, count in counts.items()}

    def places_of(self) -> dict[str, list[str]]:
        """Return the places of each id: names of lists and sorted sets."""
        places: dict[str, list[str]] = {}
        for name, ids in self.lists.items():
            for job_id in ids:
                places.setdefault(job_id, []).append(name)
        for name in (*IN_SORTED_SETS, _FINISHED):
            for job_id in self.zsets.get(name, []):
                places.setdefault(job_id, []).append(name)
        return places


def _part(head: str, name: str) -> str:
    """Return what follows the head of a key, "" for another one's."""
    return name.removeprefix(head) if name.startswith(head) else ""


def _read_all(client: Any, names: list[bytes]) -> Iterator[tuple[bytes, str, int, Any]]:
    """Yield keys with types, remaining times (ms) and values, read in two round trips."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.type(name)
        pipe.pttl(name)
    known = pipe.execute() if names else []
    kinds, times = [kind.decode() for kind in known[0::2]], known[1::2]
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
    return zip(names, kinds, times, pipe.execute() if names else [], strict=True)


def findings(client: Any, keys: QueueKeys) -> list[str]:
    """Return the violations in a queue, one sentence each."""
    look = _Look(client, keys)
    return [
        *_places(look),
        *_plain(look),
        *_sums(look),
        *_armed(look),
        *_holders(look),
        *_grouped(look),
        *_stranded(look),
        *_kept_for_ever(look),
    ]


def _places(look: _Look) -> Iterator[str]:
    """1, 2, 4: each unfinished job is in exactly one place, and that fits its state."""
    places = look.places_of()
    dead = Counter[str]()
    for job_id, names in places.items():
        record = look.records.get(job_id)
        state = record.get("state") if record else None
        if state is None or state in FINISHED:
            for name in names:
                if priority := _part(_PENDING, name):
                    dead[priority] += 1
                elif name != _FINISHED and not name.startswith((_PARKED, _PROCESSING)):
                    yield f"{job_id} is {state} and in {name}"
    for priority in PRIORITIES:
        if dead[priority] != look.tombstones.get(priority, 0):
            noted = look.tombstones.get(priority, 0)
            yield f"{dead[priority]} finished jobs are in {_PENDING}{priority}, {noted} are noted"
    for job_id, record in look.records.items():
        yield from _place(job_id, record, places.get(job_id, []))


def _place(job_id: str, record: dict[str, str], names: list[str]) -> Iterator[str]:
    state = record.get("state", "none")
    if state in FINISHED:
        if _FINISHED not in names:
            yield f"{job_id} is {state} and not in {_FINISHED}"
        return
    if len(names) != 1:
        yield f"{job_id} is {state} and in {len(names)} places: {', '.join(sorted(names))}"
        return
    if not _fits(state, names[0], record):
        yield f"{job_id} is {state} (token {record.get('token')}) and in {names[0]}"


def _fits(state: str, name: str, record: dict[str, str]) -> bool:
    if state in QUEUED:
        return name == _NEXT or name.startswith((_PENDING, _PARKED, _PROCESSING))
    if state in RUNNING:
        return name == _PROCESSING + record.get("token", "").rpartition(".")[0]
    return name == state


def _plain(look: _Look) -> Iterator[str]:
    """A record marked as plain has none of the fields that are then not checked."""
    for job_id, record in look.records.items():
        if "plain" in record and (rare := _RARE & record.keys()):
            yield f"{job_id} is marked as plain and has {', '.join(sorted(rare))}"


def _sums(look: _Look) -> Iterator[str]:
    """3: every enqueued job is in some place, or has left and was counted."""
    here = sum(record["state"] not in ENDED for record in look.records.values() if "state" in record)
    here += sum(len(look.zsets.get(state, [])) for state in DEAD)
    gone = sum(look.totals[event] for event in LEAVING)
    if look.totals["enqueued"] != here + gone:
        yield f"{look.totals['enqueued']} jobs were enqueued, but {here} are here and {gone} have left"


def _armed(look: _Look) -> Iterator[str]:
    """7: if an eligible job is pending, `next` contains one, unless a worker has just fetched it."""
    if len(look.lists.get(_NEXT, [])) > 1:
        yield "more than one job is in next"
    strays = any(
        look.records.get(job_id, {}).get("state") in QUEUED
        for name, ids in look.lists.items()
        if name.startswith(_PROCESSING)
        for job_id in ids
    )
    if look.paused or strays or look.lists.get(_NEXT):
        return
    for priority in PRIORITIES:
        for job_id in look.lists.get(f"{_PENDING}{priority}", []):
            if look.records.get(job_id, {}).get("state") in QUEUED:
                yield f"{job_id} is pending but next is empty"
                return


def _holders(look: _Look) -> Iterator[str]:
    """Slots of a concurrency limit are held by running jobs only, unique keys by unfinished ones."""
    for name, ids in look.sets.items():
        if name.startswith(_HOLDING):
            for job_id in ids:
                if look.records.get(job_id, {}).get("state") not in RUNNING:
                    yield f"{job_id} holds a slot in {name} but is not running"
    for key, holder in look.unique.items():
        record = look.records.get(holder, {})
        state = record.get("state")
        if state is None or state in ENDED:
            yield f"the unique key {key!r} is held by {holder}, which is {state}"
        elif record.get("unique") != key:
            yield f"the unique key {key!r} is held by {holder}, whose end frees {record.get('unique')!r}"


def _grouped(look: _Look) -> Iterator[str]:
    """Each dead letter is in the group named in its record, and only nonempty groups are known."""
    groups = {_part(_GROUP, name): set(ids) for name, ids in look.zsets.items() if name.startswith(_GROUP)}
    for known in (set(look.zsets.get(QueueKeys.groups.head, [])), look.group_names):
        if known != set(groups):
            yield f"the groups {sorted(known)} are known, but dead letters are in {sorted(groups)}"
    dead = {job_id for state in DEAD for job_id in look.zsets.get(state, [])}
    for group, ids in groups.items():
        for job_id in ids - dead:
            yield f"{job_id} is in group {group} but is not a dead letter"
    for job_id in dead & set(look.records):
        if job_id not in groups.get(look.records[job_id].get("group", ""), set()):
            yield f"{job_id} is a dead letter but in no group, or in another one than its record names"


def _stranded(look: _Look) -> Iterator[str]:
    """11: every waiting job will be picked up: by a rescue, by waking its bucket, or by the end of its parents."""
    known = {*look.zsets.get(QueueKeys.workers.head, []), *look.zsets.get(QueueKeys.fenced.head, [])}
    buckets = set(look.zsets.get(QueueKeys.throttled.head, []))
    for name, ids in look.lists.items():
        worker, parked = _part(_PROCESSING, name), _part(_PARKED, name)
        if worker and worker not in known:
            yield f"{len(ids)} jobs are in {name}, and that worker is neither registered nor lost"
        if parked and parked.rpartition(":")[0] not in buckets:
            yield f"{len(ids)} jobs are in {name}, and that bucket is never checked"
    for job_id in sorted(look.sets.get(QueueKeys.corrupt.head, ())):
        yield f"{job_id} is marked as corrupt: its record was replaced by something else"
    for redrive_id, fields in look.redrives.items():
        if fields.get("state") in ("canary", "running") and redrive_id not in look.zsets.get(
            QueueKeys.redrives.head, []
        ):
            yield f"redrive {redrive_id} is active, but is never continued"
    for job_id, record in look.records.items():
        if "waiting_for" in record and record.get("state") in WAITING:
            yield from _waits(look, job_id, record)


def _waits(look: _Look, job_id: str, record: dict[str, str]) -> Iterator[str]:
    parents = record.get("parents", "").split(",")
    telling = [each for each in parents if job_id in look.records.get(each, {}).get("children", "").split(",")]
    ended = [parent for parent, child in look.telling if child == job_id]
    if len(telling) + len(ended) != order(record["waiting_for"]):
        yield f"{job_id} waits for {record['waiting_for']} jobs, but {len(telling + ended)} will notify it of their end"


def _kept_for_ever(look: _Look) -> Iterator[str]:
    """12: records of finished jobs expire. Dead letters stay until an operator or `prune` removes them."""
    for job_id, record in look.records.items():
        if record.get("state") in FINISHED and look.times.get(job_id) == -1:
            yield f"{job_id} is {record['state']} but never expires"

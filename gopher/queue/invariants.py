"""Invariants of a queue's keys, checked by reading all of them (see the protocol in docs/internals.md).

For tests, and for operators who suspect that keys were changed by hand. It reads every key of the queue, which is slow
for large queues.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gopher.base.counters import LEAVING
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import order
from gopher.base.states import DEAD, ENDED, FINISHED, QUEUED, RUNNING, WAITING

from .keys import QueueKeys
from .queue_look import Look, part, tenant_list

_NEXT, _PENDING, _PARKED, _PROCESSING = (
    each.head for each in (QueueKeys.next, QueueKeys.pending, QueueKeys.parked, QueueKeys.processing)
)
_PENDING_OF, _CHILDREN = QueueKeys.pending_of.head, QueueKeys.children.head
_FINISHED, _GROUP, _HOLDING = (each.head for each in (QueueKeys.finished, QueueKeys.group, QueueKeys.holding))

#: Fields that a record marked as plain must not have.
_RARE = {
    "expires",
    "retention",
    "unique",
    "bucket",
    "parents",
    "children",
    "parked",
    "holds",
    "cancel",
    "owner",
    "tells",
    "callback",
    "tenant_slot",
}


def findings(client: Any, keys: QueueKeys) -> list[str]:
    """Return the violations in a queue, one sentence each."""
    look = Look(client, keys)
    return [
        *_places(look),
        *_plain(look),
        *_sums(look),
        *_bounded(look),
        *_armed(look),
        *_rings(look),
        *_holders(look),
        *_grouped(look),
        *_stranded(look),
        *_families(look),
        *_kept_for_ever(look),
        *_undelivered(look),
    ]


def _places(look: Look) -> Iterator[str]:
    """1, 2, 4: each unfinished job is in exactly one place, and that fits its state."""
    places = look.places_of()
    dead = Counter[str]()
    for job_id, names in places.items():
        record = look.records.get(job_id)
        state = record.get("state") if record else None
        if state is None or state in FINISHED:
            for name in names:
                if priority := part(_PENDING, name) or tenant_list(name)[0]:
                    dead[priority] += 1
                elif name != _FINISHED and not name.startswith((_PARKED, _PROCESSING)):
                    yield f"{job_id} is {state} and in {name}"
    for priority in PRIORITIES:
        if dead[priority] != look.tombstones.get(priority, 0):
            noted = look.tombstones.get(priority, 0)
            yield f"{dead[priority]} finished jobs of priority {priority} are pending, {noted} are noted"
        parked = sum(
            len(ids)
            for name, ids in look.lists.items()
            if name.startswith(_PARKED) and name.rpartition(":")[2] == priority
        )
        if parked != look.parked_jobs.get(priority, 0):
            yield f"{parked} jobs of priority {priority} are throttled, {look.parked_jobs.get(priority, 0)} are counted"
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
        if tenant := tenant_list(name)[1]:
            return tenant == record.get("tenant")
        return name == _NEXT or name.startswith((_PENDING, _PARKED, _PROCESSING))
    if state in RUNNING:
        return name == _PROCESSING + record.get("token", "").rpartition(".")[0]
    return name == state


def _plain(look: Look) -> Iterator[str]:
    """A record marked as plain has none of the fields that are then not checked."""
    for job_id, record in look.records.items():
        if "plain" in record and (rare := _RARE & record.keys()):
            yield f"{job_id} is marked as plain and has {', '.join(sorted(rare))}"


def _sums(look: Look) -> Iterator[str]:
    """3: every enqueued job is in some place, or has left and was counted."""
    here = sum(record["state"] not in ENDED for record in look.records.values() if "state" in record)
    here += sum(len(look.zsets.get(state, [])) for state in DEAD)
    gone = sum(look.totals[event] for event in LEAVING)
    if look.totals["enqueued"] != here + gone:
        yield f"{look.totals['enqueued']} jobs were enqueued, but {here} are here and {gone} have left"


def _bounded(look: Look) -> Iterator[str]:
    """How many jobs of each owner wait is counted, of those that were bounded."""
    waiting = [record for record in look.records.values() if record.get("state") in WAITING]
    owners = dict(Counter(record["owner"] for record in waiting if "owner" in record))
    if owners != {owner: count for owner, count in look.waiting.items() if count}:
        yield f"jobs of the owners {owners} wait, but {look.waiting} are counted"


def _armed(look: Look) -> Iterator[str]:
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
        in_turn = [f"{_PENDING_OF}{priority}:{tenant}" for tenant in look.rings.get(priority, []) if tenant]
        for job_id in (job for name in (f"{_PENDING}{priority}", *in_turn) for job in look.lists.get(name, [])):
            if look.records.get(job_id, {}).get("state") in QUEUED:
                yield f"{job_id} is pending but next is empty"
                return


def _rings(look: Look) -> Iterator[str]:
    """Each list of a tenant is in its ring once, or waits for the tenant's limit, and its ids are counted."""
    counted = Counter[str]()
    resting = look.sets.get(QueueKeys.resting.head, set())
    due = look.zsets.get(QueueKeys.throttled.head, [])
    for name, ids in look.lists.items():
        priority, tenant = tenant_list(name)
        if not tenant:
            continue
        counted[priority] += len(ids)
        places = look.rings.get(priority, []).count(tenant) + (f"{priority}:{tenant}" in resting)
        if places != 1:
            yield f"{len(ids)} jobs are in {name}, which is served by {places} places of a ring"
        if f"{priority}:{tenant}" in resting and f"@{tenant}" not in due:
            yield f"the tenant {tenant} rests, and its limit is never checked"
    if {priority: count for priority, count in look.tenant_ids.items() if count} != dict(counted):
        yield f"{dict(counted)} jobs are in lists of tenants, {look.tenant_ids} are counted"
    for priority, ring in look.rings.items():
        empty = [tenant for tenant in ring if tenant and f"{_PENDING_OF}{priority}:{tenant}" not in look.lists]
        if empty or ring.count("") != 1 or len(ring) < 2:
            yield f"the ring of priority {priority} is {ring}, and the lists of {empty} are empty"


def _holders(look: Look) -> Iterator[str]:
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


def _grouped(look: Look) -> Iterator[str]:
    """Each dead letter is in the group named in its record, and only nonempty groups are known."""
    groups = {part(_GROUP, name): set(ids) for name, ids in look.zsets.items() if name.startswith(_GROUP)}
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


def _stranded(look: Look) -> Iterator[str]:
    """11: every waiting job will be picked up: by a rescue, by waking its bucket, or by the end of its parents."""
    known = {*look.zsets.get(QueueKeys.workers.head, []), *look.zsets.get(QueueKeys.fenced.head, [])}
    buckets = set(look.zsets.get(QueueKeys.throttled.head, []))
    for name, ids in look.lists.items():
        worker, parked = part(_PROCESSING, name), part(_PARKED, name)
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


def _waits(look: Look, job_id: str, record: dict[str, str]) -> Iterator[str]:
    parents = record.get("parents", "").split(",")
    telling = [
        each
        for each in parents
        if job_id in look.records.get(each, {}).get("children", "").split(",")
        or job_id in (*look.children.get(each, ()), *look.awaiting.get(each, ()))
    ]
    if len(telling) != order(record["waiting_for"]):
        yield f"{job_id} waits for {record['waiting_for']} jobs, but {len(telling)} will notify it of their end"


def _families(look: Look) -> Iterator[str]:
    """Children in a list are known, and are being notified once their parent has ended."""
    known = look.sets.get(QueueKeys.families.head, set())
    # One that is being notified may have just lost its list.
    if not set(look.children) <= known or not known <= set(look.children) | look.telling:
        yield f"jobs have lists of children: {sorted(look.children)}, but {sorted(known)} are known"
    for parent in set(look.children) - look.telling:
        state = look.records.get(parent, {}).get("state")
        if state is None or state in ENDED:
            yield f"{parent} is {state}, but its children are not being notified"


def _kept_for_ever(look: Look) -> Iterator[str]:
    """12: records of finished jobs expire. Dead letters stay until an operator or `prune` removes them."""
    for job_id, time in look.readers.items():
        if time == -1:
            yield f"the list of those that read the result of {job_id} never expires"
    for job_id, record in look.records.items():
        if record.get("state") in FINISHED and look.times.get(job_id) == -1:
            yield f"{job_id} is {record['state']} but never expires"


def _undelivered(look: Look) -> Iterator[str]:
    """What the ends of jobs tell in other queues will be delivered."""
    for to in sorted(look.outbox - set(look.zsets.get(QueueKeys.outboxes.head, []))):
        yield f"the outbox has entries for the queue {to}, but they are never delivered"

"""Failure groups: dead letters of one type with the same error class and location.

The scripts maintain them, each as a sorted set in addition to `failed`. So matches of a filter are found and counted
without reading the dead letters' records.
"""

from collections.abc import Collection, Mapping, Sequence

from gopher.base.names import JOB_ID, check_name
from gopher.base.salvage import NO_ID, NO_NAME, NO_TIME, Salvage, moment, order, text
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob
from gopher.jobs.filters import MAX_GROUPS, SELECTING, DeadFilter
from gopher.jobs.models import GroupPage, GroupView
from gopher.queue.replies import GroupRow
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask

#: Maximum number of groups per queue that a filter scans.
MAX_SEARCHED = 20_000
#: Dead letters of a queue that are looked at for the groups of a tenant, and per round trip.
_LOOKED_AT, _AT_ONCE = 10_000, 500


class Groups:
    """Reads the groups of dead letters."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, queue: str | None = None, limit: int = 100, tenant: str | None = None) -> GroupPage:
        """Return the `limit` largest groups, among the 1,000 of each queue with the latest failures; those of a tenant
        among its dead letters that are among the latest 10,000 of each queue.

        Raises InvalidJob, naming /limit.
        """
        if not 1 <= limit <= MAX_GROUPS:
            raise InvalidJob(f"is {limit}: must be from 1 to {MAX_GROUPS}", "/limit")
        names = self._server.queues() if queue is None else [queue]
        found: dict[str, GroupView] = {}
        if tenant is None:
            of_queues = self._server.run_each([self._server.queue(name).read_groups(MAX_GROUPS) for name in names])
        else:
            of_queues = [self._of_tenant(name, tenant) for name in names]
        for name, rows in zip(names, of_queues, strict=True):
            for row in rows:
                found[row.group] = _joined(found.get(row.group), name, row)
        groups = sorted(found.values(), key=lambda view: (-view.count, view.group))
        return GroupPage(groups[:limit], len(groups))

    def _of_tenant(self, queue: str, tenant: str) -> list[GroupRow]:
        """Return the groups of a tenant's dead letters, with how many it has."""
        client, keys = self._server.client, self._server.keys.for_queue(queue)
        with explained():
            died = client.zrevrange(keys.failed, 0, _LOOKED_AT - 1, withscores=True)
        found: dict[str, list[tuple[int, str]]] = {}
        for at in range(0, len(died), _AT_ONCE):
            some = died[at : at + _AT_ONCE]
            call = self._server.queue(queue).read_fields([text(job_id) for job_id, _ in some], ["tenant", "group"])
            for (job_id, score), (whose, group) in zip(some, self._server.run(call), strict=True):
                if group is not None and text(whose or b"") == tenant:
                    found.setdefault(text(group), []).append((order(score), text(job_id)))
        if not found:
            return []
        with explained():
            (names,) = ask(client, [("HMGET", keys.group_names, *found)])
        return [
            GroupRow(group, name or b"", len(jobs), jobs[-1][0], jobs[0][0], jobs[0][1])
            for (group, jobs), name in zip(found.items(), names, strict=True)
        ]

    def fitting(self, queue: str, which: DeadFilter) -> list[str] | None:
        """Return the groups of a queue that match, None if there are too many groups to scan."""
        client, keys = self._server.client, self._server.keys.for_queue(queue)
        with explained():
            if which.group is not None:
                names = {which.group: ask(client, [("HGET", keys.group_names, which.group)])[0]}
            elif ask(client, [("ZCARD", keys.groups)])[0] > MAX_SEARCHED:
                return None
            else:
                (found,) = ask(client, [("HGETALL", keys.group_names)])
                names = {text(group): name for group, name in found.items()}
        return [group for group, name in names.items() if name is not None and _fits(_read(name), which)]

    def count(self, queue: str, groups: Sequence[str]) -> int:
        """Return how many dead letters are in groups."""
        keys = self._server.keys.for_queue(queue)
        with explained():
            return sum(ask(self._server.client, [("ZCARD", keys.group(group)) for group in groups]))


def _read(name: bytes) -> list[str]:
    """Return type, error class and location; substitutes for a corrupt name."""
    job_type, error, place, *_ = [*text(name).split("\n", 2), "", ""]
    return [job_type, error, place]


def _whole(name: bytes) -> list[str]:
    """Return type, error class and location. Raises ValueError."""
    parts = name.decode().split("\n", 2)
    if len(parts) != 3 or not parts[0]:
        raise ValueError(name)
    return parts


def _fits(name: Sequence[str], which: DeadFilter) -> bool:
    # Those of a group may be of several tenants.
    return matches(which, {"job_type": name[0], "error": name[1]}, elsewhere=("tenant",))


def matches(which: DeadFilter, known: Mapping[str, str | None], *, elsewhere: Collection[str] = ()) -> bool:
    """Return whether a filter means a dead letter of which that is known; its group is not looked at.

    A field that is asked for has to be among what is known, unless it is looked at elsewhere: nothing is passed over,
    since that would mean too many.
    """
    asked = {name: getattr(which, name) for name in SELECTING if name != "group" and name not in elsewhere}
    return all(value is None or value == known[name] for name, value in asked.items())


def _joined(known: GroupView | None, queue: str, row: GroupRow) -> GroupView:
    """Merge a group of one queue with those of other queues."""
    salvage = Salvage()
    first = salvage.read("first_seen", lambda: to_rfc3339(moment(row.first)), NO_TIME)
    last = salvage.read("last_seen", lambda: to_rfc3339(moment(row.last)), NO_TIME)
    job_type, error, place = salvage.read("type", lambda: _whole(row.name), [NO_NAME, "", ""])
    last_id = salvage.read("last_job_id", lambda: check_name(JOB_ID, row.last_job_id, ""), NO_ID)
    if known is None:
        return GroupView(
            row.group,
            job_type,
            error,
            place or None,
            row.jobs,
            first,
            last,
            last_id,
            [queue],
            corrupt=salvage.corrupt,
        )
    known.corrupt += [name for name in salvage.corrupt if name not in known.corrupt]
    known.count += row.jobs
    known.first_seen = min(known.first_seen, first)
    if (last, last_id) > (known.last_seen, known.last_job_id):
        known.last_seen, known.last_job_id = last, last_id
    known.queues.append(queue)
    return known

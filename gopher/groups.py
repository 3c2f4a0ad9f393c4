"""The groups of dead letters: those of one type that died of the same class of error at the same place.

The scripts keep them, each group a sorted set beside `failed`. So what fits a filter is found and counted without
reading the records of the dead.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .errors import InvalidJob
from .keys import QueueKeys
from .server import Server, explained
from .times import to_rfc3339
from .views import GroupPage, GroupView

#: Groups of one queue that are looked at, the ones with the latest deaths.
MAX_GROUPS = 1000


class Which(NamedTuple):
    """Which dead letters are meant: those that fit all that is not None."""

    type: str | None = None
    #: The class of the error, e.g. `ValueError`.
    error: str | None = None
    group: str | None = None


class _Standing(NamedTuple):
    """A group as it stands in one queue. Unix milliseconds."""

    name: Sequence[str]
    queue: str
    jobs: int
    first: int
    last: int
    last_job_id: str


class Groups:
    """Reads the groups of dead letters."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, queue: str | None = None, limit: int = 100) -> GroupPage:
        """Return the `limit` largest groups. Of one queue those 1,000 with the latest deaths are looked at.

        Raises InvalidJob, naming /limit.
        """
        if not 1 <= limit <= MAX_GROUPS:
            raise InvalidJob(f"is {limit}: must be from 1 to {MAX_GROUPS}", "/limit")
        names = self._server.queues() if queue is None else [queue]
        found: dict[str, GroupView] = {}
        with explained():
            for name in names:
                for group, standing in self._standing(self._server.keys.of(name)):
                    found[group] = _joined(found.get(group), group, standing)
        groups = sorted(found.values(), key=lambda view: (-view.count, view.group))
        return GroupPage(groups[:limit], len(groups))

    def fitting(self, queue: str, which: Which) -> list[str] | None:
        """Return the groups of a queue that hold what is meant, None when there are too many groups to tell."""
        client, keys = self._server.client, self._server.keys.of(queue)
        with explained():
            if which.group is not None:
                names = {which.group: client.hget(keys.group_names, which.group)}
            elif client.zcard(keys.groups) > MAX_GROUPS:
                return None
            else:
                names = {group.decode(): name for group, name in client.hgetall(keys.group_names).items()}
        return [group for group, name in names.items() if name is not None and _fits(_read(name), which)]

    def count(self, queue: str, groups: Sequence[str]) -> int:
        """Return how many dead letters stand in groups."""
        keys = self._server.keys.of(queue)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for group in groups:
                pipe.zcard(keys.group(group))
            return sum(pipe.execute()) if groups else 0

    def _standing(self, keys: QueueKeys) -> Iterable[tuple[str, _Standing]]:
        client = self._server.client
        groups = [group.decode() for group in client.zrevrange(keys.groups, 0, MAX_GROUPS - 1)]
        if not groups:
            return
        pipe = client.pipeline(transaction=False)
        pipe.hmget(keys.group_names, groups)
        for group in groups:
            pipe.zcard(keys.group(group))
            pipe.zrange(keys.group(group), 0, 0, withscores=True)
            pipe.zrange(keys.group(group), -1, -1, withscores=True)
        names, *figures = pipe.execute()
        rows = zip(groups, names, figures[0::3], figures[1::3], figures[2::3], strict=True)
        for group, name, count, first, last in rows:
            # Between two reads its last dead letter may have been retried.
            if name is not None and first and last:
                yield group, _stands(keys.queue, name, count, first[0], last[0])


def _stands(queue: str, name: bytes, count: int, first: tuple[bytes, Any], last: tuple[bytes, Any]) -> _Standing:
    return _Standing(_read(name), queue, count, int(first[1]), int(last[1]), last[0].decode())


def _read(name: bytes) -> list[str]:
    """Return type, class of the error and place."""
    return name.decode("utf-8", "replace").split("\n", 2)


def _fits(name: Sequence[str], which: Which) -> bool:
    return which.type in (None, name[0]) and which.error in (None, name[1])


def _joined(known: GroupView | None, group: str, standing: _Standing) -> GroupView:
    """Add a group of one queue to what other queues have of it."""
    first, last = to_rfc3339(standing.first), to_rfc3339(standing.last)
    if known is None:
        job_type, error, place = standing.name
        count, job_id, queue = standing.jobs, standing.last_job_id, standing.queue
        return GroupView(group, job_type, error, place or None, count, first, last, job_id, [queue])
    known.count += standing.jobs
    known.first_seen = min(known.first_seen, first)
    if last > known.last_seen:
        known.last_seen, known.last_job_id = last, standing.last_job_id
    known.queues.append(standing.queue)
    return known

"""What the handlers of running processes declare: schedules and limits, announced to the queues that they are in, and
options of jobs, for clients that do not import the handlers.

Workers and schedulers announce at their start, and again every minute. What none of them has announced for
`GOPHER_WITHDRAW_AFTER` is declared by no running process: a scheduler withdraws it (`admin/withdrawals.py`). Each also
notes that it announces at all: next to one of an earlier version, which does not, nothing is withdrawn.
"""

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import msgspec

from gopher.jobs.registry import Registry
from gopher.server.calls import Command

from .keys import Keys

if TYPE_CHECKING:
    from gopher.jobs.handlers import Handler

SCHEDULE, LIMIT = "schedule", "limit"
#: Announcements per `GOPHER_WITHDRAW_AFTER`, and the maximum number of seconds between two.
_OFTEN, _LONGEST_PERIOD = 10, 60.0


def period(withdraw_after: float) -> float:
    """Return the seconds between two announcements."""
    return min(withdraw_after / _OFTEN, _LONGEST_PERIOD)


def member(kind: str, name: str) -> str:
    """Return the member for a schedule or a limit in `declared`."""
    return f"{kind}:{name}"


class JobOptions(msgspec.Struct, omit_defaults=True, frozen=True):
    """The options of jobs that a handler declares, as `types` has them. Durations in seconds."""

    queue: str | None = None
    priority: str | None = None
    retention: float | None = None
    expires_in: float | None = None
    unique_for: float | None = None
    unique_mode: str | None = None
    max_wait: float | None = None
    tags: tuple[str, ...] = ()
    durability: str | None = None
    #: Whether it has a function for unique keys.
    unique_key: bool = False

    @classmethod
    def of(cls, handler: "Handler") -> "JobOptions":
        same = [name for name in cls.__struct_fields__ if name != "unique_key"]
        return cls(**{name: getattr(handler, name) for name in same}, unique_key=handler.unique_key is not None)


class Announcer:
    """The declarations of a process, and when they are due to be announced.

    Schedules are in the queues of their jobs, and limits in the `served` ones.
    """

    def __init__(self, registry: Registry, withdraw_after: float, served: Collection[str] = ()) -> None:
        limits = [member(LIMIT, handler.name) for handler in registry if handler.limit is not None]
        #: By queue.
        self.declared: dict[str, list[str]] = {queue: [*limits] for queue in served if limits}
        for handler in registry:
            for schedule in handler.schedules:
                self.declared.setdefault(handler.queue or "default", []).append(member(SCHEDULE, schedule.name))
        #: The options of jobs, b"" for types without; only of workers, which run the jobs.
        self._options = {
            handler.name: msgspec.json.encode(JobOptions.of(handler)) if handler.has_defaults else b""
            for handler in (registry if served else ())
        }
        self._period = period(withdraw_after)
        self._due_at = 0.0
        #: By the wall clock, which continues while the machine is suspended.
        self._confirmed_at: float | None = None
        self._lapses_after = withdraw_after - self._period

    def is_due(self) -> bool:
        """Return whether it is time to announce; then it is due again in a period."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + self._period
        return True

    def hurry(self) -> None:
        self._due_at = 0.0

    def confirmed(self) -> bool:
        """Note that the server has an announcement. Returns whether the one before is so long ago that all of it may
        have been withdrawn meanwhile: then it has to be declared again."""
        before, self._confirmed_at = self._confirmed_at, time.time()
        return before is not None and not 0 <= self._confirmed_at - before < self._lapses_after

    def show(self, keys: Keys, process_id: str, now: int) -> list[Command]:
        """Return the commands which note that a process announces; `now` is the server's (ms)."""
        until = now + round(3 * self._period * 1000)
        return [
            Command(keys.declaring, ("ZADD", keys.declaring, until, process_id)),
            Command(keys.declaring, ("ZREMRANGEBYSCORE", keys.declaring, "-inf", now)),
            *self._show_options(keys.types),
        ]

    def _show_options(self, types: str) -> Iterator[Command]:
        if some := [word for name, options in self._options.items() if options for word in (name, options)]:
            yield Command(types, ("HSET", types, *some))
        if without := [name for name, options in self._options.items() if not options]:
            yield Command(types, ("HDEL", types, *without))

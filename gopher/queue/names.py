"""The names of queues: in the server, and as cached by this process.

A queue is registered with its first job. A scheduler removes empty queues (see `scheduler/forgetter.py`): the name
moves from `queues` to `leaving`, and what is left of the queue is deleted only after the cache of every process has
expired (`KNOWN_FOR`). So a job that is enqueued meanwhile registers it again.

The same read detects an emptied server (see `Installation`). Then the names that this process has used are registered
again, up to the maximum number: their queues may contain jobs that were enqueued before the loss was noticed.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from gopher.base.near import did_you_mean
from gopher.base.salvage import is_corrupt, replies, text
from gopher.errors import OutcomeUnknown, ServerError, TooManyQueues, UnknownQueue
from gopher.jobs.job import HINT_DIGITS, queue_hint
from gopher.server.calls import Call, Command
from gopher.server.errors import explained, is_unavailable
from gopher.server.executor import PATIENCE

from .index_entries import read_entry
from .scripts import script

if TYPE_CHECKING:
    from .store import Server

T = TypeVar("T")

#: Seconds for which a process caches that a queue is registered.
KNOWN_FOR = 2.0
#: Seconds for which that is enough if the names can't be read.
STILL_KNOWN = 600.0
#: Seconds that a queue stays in `leaving`: longer than any call can take that was started while its name was cached.
LEAVING_FOR = 15.0
#: How many of the newest queues are recorded: health checks examine each of them.
NEWEST = 8
#: Maximum number of cached names.
_REMEMBERED = 10_000
#: How many of the allowed queues an error names.
_NAMED = 10
#: Seconds within which a new queue gets the limits of types.
_REGISTERING_FOR = 60


class QueueNames:
    """The names of queues. Threads may share it."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._keys = server.keys
        #: Name -> until when it is cached (monotonic s).
        self._known: dict[str, float] = {}
        #: The master for which that is valid: another one may lack names that were registered last.
        self._master = 0
        #: Names that were lost when the server was emptied.
        self._lost: set[str] = set()
        #: Hint -> names, as of the last read: where jobs are searched first.
        self._by_hint: dict[str, list[str]] = {}

    def is_known(self, name: str) -> bool:
        """Return whether a queue is cached as registered."""
        if self._master != self._server.pools.master_number:
            self._master = self._server.pools.master_number
            # They were known, but have to be checked.
            self._known = dict.fromkeys(self._known, time.monotonic())
        return self._known.get(name, 0.0) > time.monotonic()

    def all(self) -> list[str]:
        """Return the names of all queues, sorted."""
        found = self._look()
        missing = set(self._known) - found
        if missing:
            # Most of them have probably been removed.
            self._server.look_for_mark()
            for name in missing:
                self._known.pop(name, None)
        names = sorted(found | self._restore_lost())
        by_hint: dict[str, list[str]] = {}
        for name in names:
            by_hint.setdefault(queue_hint(name), []).append(name)
        self._by_hint = by_hint
        return names

    def _look(self) -> set[str]:
        pipe = self._server.client.pipeline(transaction=False)
        # In this order, so that a name that moves to `leaving` meanwhile is seen at least once.
        pipe.smembers(self._keys.queues)
        pipe.zrange(self._keys.leaving, 0, -1)
        names, leaving = replies(pipe)
        if is_corrupt(names):
            raise names
        return {text(name) for part in (names, [] if is_corrupt(leaving) else leaving) for name in part}

    def lose(self) -> None:
        """Record that the server was emptied: the cached names have to be registered again."""
        self._lost |= set(self._known)
        self._known = {}

    def restore(self, names: Iterable[str]) -> set[str]:
        """Register queues again after the server was emptied, up to the maximum number; return those."""
        wanted = set(names)
        with explained():
            wanted -= set(self.refused(sorted(wanted)))
            # Another process may have registered them.
            with suppress(TooManyQueues):
                self.register(sorted(wanted))
                return wanted
        return set()

    def _restore_lost(self) -> set[str]:
        """Register the names that an emptied server has lost; return them."""
        lost, self._lost = self._lost, set()
        if not lost:
            return lost
        try:
            return self.restore(lost)
        except ServerError:
            # Not a reason to reject jobs. The queues may contain jobs nevertheless.
            self._lost |= lost
            return lost

    def where_to_look(self, job_id: str) -> Iterator[list[str]]:
        """Yield lists of queues in which a job may be, the most likely first; each list is for one round trip."""
        hint = job_id[-HINT_DIGITS:]
        asked = self._by_hint.get(hint, [])
        if asked:
            yield asked
        names = [name for name in self.all() if name not in asked]
        hinted = [name for name in self._by_hint.get(hint, []) if name not in asked]
        if hinted:
            yield hinted
        others = [name for name in names if name not in hinted]
        # It was moved, or its id was chosen or created elsewhere. Without an entry in the index another queue is asked
        # first: the time of an answer must not tell whether there is one.
        entry = read_entry(self._server.client.get(self._keys.job_index(job_id)))
        if entry is not None or others:
            yield [entry.queue] if entry is not None else others[:1]
        if others:
            yield others

    def refused(self, names: Iterable[str]) -> list[str]:
        """Return the queues that are not allowed, or the new ones beyond the maximum number that no worker serves."""
        names = list(names)
        if not_allowed := self._not_allowed(names):
            return not_allowed
        unsure = [name for name in dict.fromkeys(names) if not self.is_known(name)]
        return _storing_nothing(lambda: self._refused(self._missing(unsure, PATIENCE))) if unsure else []

    def _not_allowed(self, names: Iterable[str]) -> list[str]:
        settings = self._server.settings
        allowed = (*settings.queues, settings.webhooks_queue)
        return [name for name in dict.fromkeys(names) if name not in allowed] if settings.queues else []

    def register(self, names: Collection[str]) -> None:
        """Register queues, all or none. Raises TooManyQueues."""
        if not_allowed := self._not_allowed(names):
            raise self.too_many(not_allowed)
        unsure = [name for name in dict.fromkeys(names) if not self.is_known(name)]
        if not unsure:
            return
        # Before the read, since removals after it are based on what it has seen.
        now = time.monotonic()
        were_known = self._were_known(unsure, now)
        self._let_others_go_on(unsure, now)
        try:
            # Nothing waits for queues that were known: their jobs are stored in any case.
            _storing_nothing(lambda: self._register_missing(unsure, 0.0 if were_known else PATIENCE))
        except BaseException as error:
            if not (is_unavailable(error) and were_known):
                for name in unsure:
                    self._known.pop(name, None)
                raise
        if len(self._known) > _REMEMBERED:
            self._known = {name: known for name, known in self._known.items() if known > now}
        for name in unsure:
            self._known[name] = now + KNOWN_FOR
        self._restore_lost()

    def _let_others_go_on(self, names: Sequence[str], now: float) -> None:
        """Extend the cache of queues that this thread is checking, so that other threads don't check them, too."""
        for name in names:
            if now - self._known.get(name, 0.0) < KNOWN_FOR:
                self._known[name] = now + KNOWN_FOR

    def _were_known(self, names: Sequence[str], now: float) -> bool:
        """Return whether all were registered when this process last read it.

        Then their jobs can be stored while the node with the names is unavailable: each queue may be on another one. If
        one has been removed since, it is found again: schedulers check removed queues for an hour.
        """
        return all(now - self._known.get(name, float("-inf")) < STILL_KNOWN for name in names)

    def _missing(self, names: Sequence[str], patience: float) -> list[str]:
        """Return the unregistered ones; check in the same round trip whether the server was emptied."""
        known = Command(self._keys.queues, ("SMISMEMBER", self._keys.queues, *names))
        # Not by redis-py's client, which most programs that submit jobs need for nothing else.
        mark, there = self._server.run_each([self._server.installation.read_command(), known], patience=patience)
        self._server.take_mark(mark)
        return [name for name, is_there in zip(names, there, strict=True) if not is_there]

    def _refused(self, new: Sequence[str]) -> list[str]:
        if not new:
            return []
        registered = self._server.run(Command(self._keys.queues, ("SCARD", self._keys.queues)))
        room = max(self._server.settings.max_queues - registered, 0)
        return [] if len(new) <= room else [name for name in new if not self._is_served(name)][room:]

    def _is_served(self, name: str) -> bool:
        workers = self._keys.for_queue(name).workers
        return bool(self._server.run(Command(workers, ("EXISTS", workers))))

    def _register_missing(self, names: Sequence[str], patience: float) -> None:
        if new := self._missing(names, patience):
            self._register_new(new)

    def _register_new(self, new: Sequence[str]) -> None:
        if refused := self._refused(new):
            raise self.too_many(refused)
        # Most jobs are for queues that are registered.
        from .inherit_limits import inherit_limits

        queues = [self._server.queue(name) for name in new]
        # Before they are registered: if this process dies in between, they are still new.
        for name, calls in self._server.read(lambda: list(inherit_limits(self._server.client, self._keys, queues))):
            registering = self._keys.for_queue(name).registering
            marked: list[Any] = [Command(registering, ("SET", registering, "1", "EX", str(_REGISTERING_FOR))), *calls]
            self._server.run_all(marked)
        if self._server.installation.webhooks is not None:
            # Most installations have none.
            from .webhooks import subscribe_all

            subscribe_all(self._server, new)
        if not self._server.run(self._noting(new)):
            self._register_beyond(new)
        self._tell_of(new)

    def _tell_of(self, new: Sequence[str]) -> None:
        """Notify schedulers of new queues, and record them for health checks."""
        newest, alarm = self._keys.newest, self._keys.alarm
        # A repeat adds names that are there already, which changes nothing.
        self._server.run_each(
            [
                Command(newest, ("LPUSH", newest, *new[-NEWEST:])),
                Command(newest, ("LTRIM", newest, "0", str(NEWEST - 1))),
                Command(alarm, ("LPUSH", alarm, new[-1])),
                Command(alarm, ("LTRIM", alarm, "0", "0")),
            ]
        )

    def _register_beyond(self, new: Sequence[str]) -> None:
        """Register queues that exceed the maximum together: those with workers are always allowed."""
        others = [name for name in new if not self._is_served(name)]
        # Another process may have registered them.
        if others and not self._server.run(self._noting(others)):
            raise self.too_many(others)
        if served := [name for name in new if name not in others]:
            self._server.run(Command(self._keys.queues, ("SADD", self._keys.queues, *served)))

    def _noting(self, new: Sequence[str]) -> Call:
        most = self._server.settings.max_queues
        return Call(script("api/register_queues"), self._keys.queues, (str(most), *new), bool)

    def too_many(self, names: Sequence[str]) -> TooManyQueues:
        """Return the error for rejected names."""
        settings = self._server.settings
        if settings.queues:
            allowed = ", ".join(settings.queues[:_NAMED]) + (", ..." if len(settings.queues) > _NAMED else "")
            near = did_you_mean(names[0], settings.queues)
            use = f"{near} Use" if near else "use"
            return UnknownQueue(
                f"is {names[0]!r}, which is not an allowed queue: {use} one of {allowed}, or add it to GOPHER_QUEUES",
                queues=frozenset(names),
            )
        most = settings.max_queues
        which = repr(names[0]) if len(names) == 1 else f"{names[0]!r}, one of {len(names)} new names"
        return TooManyQueues(
            f"is {which}: the maximum is {most} queues. Use an existing one, or raise GOPHER_MAX_QUEUES",
            queues=frozenset(names),
        )


def _storing_nothing(register: Callable[[], T]) -> T:
    """Raise the cause of an OutcomeUnknown: names may have been registered, but certainly no job was stored."""
    try:
        return register()
    except OutcomeUnknown as error:
        problem = error.__cause__ or error
    # Not from the error that it has caused: their causes would form a circle.
    raise problem

"""Removes empty queues, without losing jobs that are enqueued meanwhile.

Processes cache for a few seconds that a queue is registered (`KNOWN_FOR`). So a queue that was found empty twice is
removed in two steps. Its name moves from `queues` to `leaving`, where it is still found. After longer than any process
can rely on its name (`LEAVING_FOR`), a script deletes what is left of it if it is still empty. A job that is enqueued
meanwhile registers the queue again, or makes it nonempty.

A process that was suspended for longer, or one of an earlier version, may enqueue a job even later. So removed names
are remembered for an hour, and checked again one by one.

Several schedulers can do this at the same time, and it can be interrupted anywhere: `leaving` has the remaining work.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gopher.queue.keys import Keys
from gopher.queue.moves import Queue
from gopher.queue.names import LEAVING_FOR
from gopher.queue.scripts import script
from gopher.queue.survey import Survey
from gopher.server.calls import Call, Command
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Seconds between the two surveys that must find a queue empty.
EMPTY_FOR = 10.0
#: Seconds for which removed queues are remembered, their maximum number, and seconds between two checks of them.
_WATCHED_FOR, _WATCHED, _WATCH_PERIOD = 3600.0, 3600, 1.0

#: Sends a call, and passes on its reply.
Send = Callable[[Any, Callable[[Any], None]], None]


class Forgetter:
    """Decides which queues are removed, and sends the calls for it."""

    def __init__(self, keys: Keys, queue: Callable[[str], Queue], send: Send) -> None:
        self._keys = keys
        self._queue = queue
        self._send = send
        #: Name -> since when surveys have found the queue empty (monotonic s).
        self._empty: dict[str, float] = {}
        self._known: Collection[str] = ()
        #: Removed names, and until when they are checked (monotonic s).
        self._watched: deque[tuple[str, float]] = deque(maxlen=_WATCHED)
        self._watch_at = 0.0

    def take_survey(self, name: str, found: Survey, now: float) -> float | None:
        """Process a survey. Returns when to survey the queue again, None for the regular time."""
        if found.holds or name not in self._known or (found.limited and name == min(self._known)):
            # The limits of types are stored in every queue: one has to remain for new ones to copy from.
            self._empty.pop(name, None)
            return None
        since = self._empty.setdefault(name, now)
        if now - since < EMPTY_FOR:
            return since + EMPTY_FOR
        del self._empty[name]
        self._leave(name, found.now, lambda reply: self._take_out(name, found.now, reply))
        return None

    def take_names(self, known: Collection[str], leaving: Mapping[str, bytes], server_now: int, now: float) -> None:
        """Process the names of queues, and of those in `leaving`: name -> since when (ms)."""
        self._known = known
        self._empty = {name: since for name, since in self._empty.items() if name in known}
        for name, since in leaving.items():
            if name in known:
                # A job was enqueued, which registered it again.
                self._drop(name, since)
            elif server_now - float(since) >= LEAVING_FOR * 1000:
                self._send(self._queue(name).forget(), self._forgetting(name, since, now))
        self._watch(leaving, now)

    def _leave(self, name: str, since: int, then: Callable[[Any], None]) -> None:
        self._send(Command(self._keys.leaving, ("ZADD", self._keys.leaving, str(since), name)), then)

    def _take_out(self, name: str, since: int, reply: object) -> None:
        if isinstance(reply, Exception):
            return
        # This may run late or twice, when the name was registered again meanwhile and has left `leaving`. So it is
        # added again with another number: dropping the first one leaves this one.
        again = Command(self._keys.queues, ("SREM", self._keys.queues, name))
        self._send(again, lambda _: self._leave(name, since + 1, _ignore))

    def _forgetting(self, name: str, since: bytes, now: float) -> Callable[[Any], None]:
        def take(counted: dict[str, int] | Exception | None) -> None:
            if isinstance(counted, Exception):
                log.error("could not remove a queue", queue=name, error=str(counted))
            elif counted is None:
                self._bring_back(name)
            else:
                self._add_up(counted)
                self._drop(name, since)
                self._watched.append((name, now + _WATCHED_FOR))
                log.info("removed an empty queue", queue=name)

        return take

    def _bring_back(self, name: str) -> None:
        """Register a queue again that has got a job. The next check removes it from `leaving`."""
        log.info("kept a queue that has jobs again", queue=name)
        self._send(Command(self._keys.queues, ("SADD", self._keys.queues, name)), _ignore)

    def _drop(self, name: str, since: bytes) -> None:
        self._send(Call(script("api/drop"), self._keys.leaving, (name, since), bool), _ignore)

    def _add_up(self, counted: Mapping[str, int]) -> None:
        for field, count in counted.items():
            words = ("HINCRBY", self._keys.forgotten, field, str(count))
            self._send(Command(self._keys.forgotten, words), _ignore)

    def _watch(self, leaving: Collection[str], now: float) -> None:
        """Check one of the removed queues again."""
        if now < self._watch_at or not self._watched:
            return
        self._watch_at = now + _WATCH_PERIOD
        name, until = self._watched.popleft()
        if name in self._known or now > until:
            return
        self._watched.append((name, until))
        if name not in leaving:
            self._send(self._queue(name).forget(), self._watching(name))

    def _watching(self, name: str) -> Callable[[Any], None]:
        def take(counted: dict[str, int] | Exception | None) -> None:
            if counted is None:
                self._bring_back(name)
            elif not isinstance(counted, Exception):
                self._add_up(counted)

        return take


def _ignore(_reply: object) -> None:
    pass

"""Forgets queues that hold nothing, without losing a job that is put in meanwhile.

A process takes it for granted for a few seconds that a queue is known (`KNOWN_FOR`). So a queue that was found empty
twice leaves in two steps. Its name goes from `queues` to `leaving`, where everybody still finds it. When it has been
there for longer than anybody can rely on its name (`LEAVING_FOR`), a script deletes what is left of it, if it holds
nothing still. Whoever puts a job into it meanwhile makes it known again, or has it found to hold something.

A process that was stopped for longer, or one of an earlier version, may put a job in even later. So the names are kept
in mind for an hour, and looked at again one by one.

All of it may be done by several schedulers, and be cut off anywhere: `leaving` tells the next one what is to be done.
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

#: Seconds between the two looks that find a queue empty.
EMPTY_FOR = 10.0
#: Seconds for which a forgotten queue is kept in mind, how many at most, and seconds between two looks at one of them.
_WATCHED_FOR, _WATCHED, _WATCH_PERIOD = 3600.0, 3600, 1.0

#: Sends a call, and hands its reply on.
Send = Callable[[Any, Callable[[Any], None]], None]


class Forgetter:
    """Decides which queues are forgotten, and sends what that takes."""

    def __init__(self, keys: Keys, queue: Callable[[str], Queue], send: Send) -> None:
        self._keys = keys
        self._queue = queue
        self._send = send
        #: Name -> since when surveys find the queue empty (monotonic s).
        self._empty: dict[str, float] = {}
        self._known: Collection[str] = ()
        #: Names that were forgotten, and until when they are looked at (monotonic s).
        self._watched: deque[tuple[str, float]] = deque(maxlen=_WATCHED)
        self._watch_at = 0.0

    def take_survey(self, name: str, found: Survey, now: float) -> float | None:
        """Note what a survey found. Returns when to look again, None for whenever it is this queue's turn."""
        if found.holds or name not in self._known or (found.limited and name == min(self._known)):
            # The limits of types stand in every queue: one has to be left that new ones take them from.
            self._empty.pop(name, None)
            return None
        since = self._empty.setdefault(name, now)
        if now - since < EMPTY_FOR:
            return since + EMPTY_FOR
        del self._empty[name]
        self._leave(name, found.now, lambda reply: self._take_out(name, found.now, reply))
        return None

    def take_names(self, known: Collection[str], leaving: Mapping[str, bytes], server_now: int, now: float) -> None:
        """Take the names of queues, and of those that leave: name -> since when (ms)."""
        self._known = known
        self._empty = {name: since for name, since in self._empty.items() if name in known}
        for name, since in leaving.items():
            if name in known:
                # A job has come, and made it known again.
                self._drop(name, since)
            elif server_now - float(since) >= LEAVING_FOR * 1000:
                self._send(self._queue(name).forget(), self._forgetting(name, since, now))
        self._watch(leaving, now)

    def _leave(self, name: str, since: int, then: Callable[[Any], None]) -> None:
        self._send(Command(self._keys.leaving, ("ZADD", self._keys.leaving, str(since), name)), then)

    def _take_out(self, name: str, since: int, reply: object) -> None:
        if isinstance(reply, Exception):
            return
        # It may be done late, or again, when the name was made known meanwhile and has left `leaving`. So it is put
        # there once more, with another number: who drops the first one leaves this one there.
        again = Command(self._keys.queues, ("SREM", self._keys.queues, name))
        self._send(again, lambda _: self._leave(name, since + 1, _ignore))

    def _forgetting(self, name: str, since: bytes, now: float) -> Callable[[Any], None]:
        def take(counted: dict[str, int] | Exception | None) -> None:
            if isinstance(counted, Exception):
                log.error("a queue could not be forgotten", queue=name, error=str(counted))
            elif counted is None:
                self._bring_back(name)
            else:
                self._add_up(counted)
                self._drop(name, since)
                self._watched.append((name, now + _WATCHED_FOR))
                log.info("a queue that holds nothing is forgotten", queue=name)

        return take

    def _bring_back(self, name: str) -> None:
        """Make a queue known again that a job was put into. The next look takes it out of `leaving`."""
        log.info("a queue that was to be forgotten has jobs again", queue=name)
        self._send(Command(self._keys.queues, ("SADD", self._keys.queues, name)), _ignore)

    def _drop(self, name: str, since: bytes) -> None:
        self._send(Call(script("api/drop"), self._keys.leaving, (name, since), bool), _ignore)

    def _add_up(self, counted: Mapping[str, int]) -> None:
        for field, count in counted.items():
            words = ("HINCRBY", self._keys.forgotten, field, str(count))
            self._send(Command(self._keys.forgotten, words), _ignore)

    def _watch(self, leaving: Collection[str], now: float) -> None:
        """Look again at one of those that were forgotten."""
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

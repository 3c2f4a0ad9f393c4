"""Delivers the outbox of a queue: what the ends of its jobs tell something in other queues.

The script that ends a job also posts an entry for each queue that is to learn of it, in one step, into the list
`outbox:<that queue>` (library/outbox.lua). Schedulers, and workers at a low rate, deliver the entries (see
`deliveries`) and then remove them. So each is delivered at least once. An unreachable queue delays only
entries for it. An entry that can't be delivered at all is dropped and logged, so that the others are delivered.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import msgspec

from gopher.server.calls import Call, Sendable
from gopher.server.errors import is_known
from gopher.telemetry.logs import get_logger

from .deliveries import DELIVERIES, Entry, Steps, entry_of
from .moves import AGAIN_AFTER, Queue
from .replies import Posted

log = get_logger("relay")


class Relay:
    """Delivers the outbox of a queue. `send` has a call sent, and its reply passed on; `open_queue` returns a queue;
    `stepwise` has those kinds of which each call needs the reply to the one before."""

    def __init__(
        self,
        queue: Queue,
        send: Callable[[Sendable, Callable[[Any], None]], None],
        open_queue: Callable[[str], Queue],
        stepwise: Mapping[str, Steps] | None = None,
    ) -> None:
        self._queue = queue
        self._send = send
        self._open_queue = open_queue
        self._stepwise = stepwise or {}
        #: Queues to which a delivery is under way, and since when (monotonic s).
        self._under_way: dict[str, float] = {}

    @property
    def origin(self) -> str:
        return self._queue.name

    def call(self, *, left_for: float = 0.0) -> Call:
        """Return the call that takes what is due, or has been left by others for that many seconds."""
        return self._queue.relay(left_for=left_for)

    def deliver(self, posted: Posted) -> None:
        """Deliver what is due."""
        for to, entries in posted.entries.items():
            # Its node may be down: then the calls wait in its pipeline, and must not become more and more.
            if to not in self._under_way or time.monotonic() - self._under_way[to] > 10 * AGAIN_AFTER:
                self._under_way[to] = time.monotonic()
                _Round(self, to, entries).step()

    def send(self, call: Sendable, callback: Callable[[Any], None]) -> None:
        self._send(call, callback)

    def steps(self, entries: Sequence[Entry]) -> Generator[Sendable, Any, None] | None:
        """Return the calls that deliver entries of a stepwise kind; None for another kind."""
        steps = self._stepwise.get(entries[0].kind)
        return None if steps is None else steps(self._queue, entries)

    def target(self, to: str) -> Queue:
        return self._open_queue(to)

    def finish(self, to: str, delivered: Sequence[bytes]) -> None:
        """Remove what was delivered."""
        self._under_way.pop(to, None)
        if delivered:
            self._send(self._queue.relayed(to, delivered), self._go_on)

    def _go_on(self, left: object) -> None:
        if isinstance(left, int) and left > 0:
            self._send(self.call(), self.take)

    def take(self, reply: Posted | Exception) -> None:
        """Deliver what a call has found, if it was not rejected."""
        if not isinstance(reply, Exception):
            self.deliver(reply)

    def drop(self, to: str, entries: Iterable[bytes], reason: str) -> None:
        for entry in entries:
            log.error(
                "dropped what could not be delivered to another queue",
                queue=self._queue.name,
                to=to,
                entry=entry[:500].decode(errors="replace"),
                reason=reason,
            )


class _Round:
    """The delivery of some entries to a queue: those of one kind that follow each other together."""

    def __init__(self, relay: Relay, to: str, stored: Sequence[bytes]) -> None:
        self._relay = relay
        self._to = to
        self._done: list[bytes] = []
        #: Of the part that is being delivered: replies that are missing, and those that are errors.
        self._unanswered = 0
        self._errors: list[Exception] = []
        #: Entries that are to be delivered again later.
        self._kept: set[bytes] = set()
        self._parts = deque(self._split(stored))

    def _split(self, stored: Sequence[bytes]) -> Iterator[list[tuple[bytes, Entry]]]:
        readable: list[tuple[bytes, Entry]] = []
        for each in stored:
            try:
                readable.append((each, entry_of(each)))
            except (msgspec.MsgspecError, ValueError, TypeError, UnicodeDecodeError) as error:
                self._give_up([each], f"it is corrupt: {error!r}")
        for _, part in groupby(readable, lambda pair: pair[1].kind):
            yield list(part)

    def step(self) -> None:
        """Send the calls of the next part, or remove what was delivered."""
        while self._parts:
            part = self._parts.popleft()
            entries = [entry for _, entry in part]
            if steps := self._relay.steps(entries):
                self._errors, self._unanswered = [], 1
                self._advance(part, steps, None)
                return
            try:
                queue = self._relay.target(self._to)
                calls = DELIVERIES[entries[0].kind](self._relay.origin, queue, entries)
            except Exception as error:  # noqa: BLE001 - an entry that can't be delivered must not stop the others
                self._split_or_give_up(part, error)
                continue
            self._errors, self._unanswered = [], len(calls)
            for call in calls:
                self._relay.send(call, partial(self._take, part))
            return
        self._relay.finish(self._to, self._done)

    def _advance(self, part: list[tuple[bytes, Entry]], steps: Generator[Sendable, Any, None], reply: object) -> None:
        """Send the next call of a delivery with several."""
        try:
            call = steps.send(reply)
        except StopIteration:
            self._take(part, None)
        except Exception as error:  # noqa: BLE001 - as in `step`
            self._split_or_give_up(part, error)
            self.step()
        else:
            self._relay.send(call, partial(self._take_step, part, steps))

    def _take_step(self, part: list[tuple[bytes, Entry]], steps: Generator[Sendable, Any, None], reply: object) -> None:
        if isinstance(reply, Exception):
            self._take(part, reply)
        else:
            self._advance(part, steps, reply)

    def _take(self, part: list[tuple[bytes, Entry]], reply: object) -> None:
        self._unanswered -= 1
        if isinstance(reply, Exception):
            self._errors.append(reply)
        elif isinstance(reply, list):
            self._kept.update(part[index][0] for index in reply)
        if self._unanswered:
            return
        if not self._errors:
            self._done += [stored for stored, _ in part if stored not in self._kept]
        elif unexecuted := next(filter(is_known, self._errors), None):
            # The server is full, for instance. It is tried again later.
            log.warning("could not deliver to another queue yet", to=self._to, error=str(unexecuted))
            self._parts.clear()
        else:
            self._split_or_give_up(part, self._errors[0])
        self.step()

    def _split_or_give_up(self, part: list[tuple[bytes, Entry]], error: Exception) -> None:
        if len(part) > 1:
            self._parts.extendleft([pair] for pair in reversed(part))
        else:
            self._give_up([part[0][0]], repr(error))

    def _give_up(self, stored: list[bytes], reason: str) -> None:
        self._relay.drop(self._to, stored, reason)
        self._done += stored

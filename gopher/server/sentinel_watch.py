"""Watches the sentinels, so that a process leaves a demoted master at once.

A demoted master takes writes for another ten seconds, and all of them are lost: Sentinel tells it only then. So each
process hears the events of all sentinels, and also queries them regularly, since an event may be missed.

Nothing here blocks: everything runs in a selector's loop, that of a worker or scheduler, or of a thread
(`master_watch.py`).
"""

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from gopher.telemetry.loggers import get_logger

from .access import OPEN, Access, EncryptedSocket
from .locator import Master, Reached, begin_to_connect, master_question, newest, pack, read_master, same
from .resolver import Address, Place, resolver

log = get_logger("server")

#: Seconds between two queries of a sentinel.
PERIOD = 0.5
#: Seconds without a reply after which a sentinel's connections are closed, and until they are opened again.
SILENCE, AGAIN = 1.0, 1.0
#: Seconds for which the last reply of any sentinel is valid.
FRESH = 1.5
#: Seconds within which the sentinels notice that a replica has been promoted: they ask it each second.
PROMOTION = 3.0

#: Published when a replica was just told to be the master, about a second before the sentinels name it.
_PROMOTING = b"+failover-state-wait-promotion"
#: Published when the new master is known, and if the failover has failed: ask immediately.
_CHANGED = (b"+promoted-slave", b"+switch-master", b"-failover-abort-slave-timeout")


class Conversation:
    """A connection to a sentinel; `heard` is called with each reply, `lost` when it ends."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        place: Place,
        host: str,
        access: Access,
        heard: Callable[[Any], None],
        lost: Callable[[], None],
    ) -> None:
        self._heard, self._lost, self._selector = heard, lost, selector
        self._reader = hiredis.Reader()
        login = access.login()
        self._unsent, self._replies_to_login = pack(login), len(login)
        self._socket: socket.socket | EncryptedSocket | None = access.secure(begin_to_connect(place), host)
        selector.register(self._socket, selectors.EVENT_WRITE, self._ready)

    @property
    def descriptor(self) -> int:
        return self._socket.fileno() if self._socket else -1

    def say(self, commands: Sequence[tuple[Any, ...]]) -> None:
        self._unsent += pack(commands)
        if self._socket:
            self._selector.modify(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self._ready)

    def close(self) -> None:
        if self._socket:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _ready(self, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._send()
            if mask & selectors.EVENT_READ:
                self._receive()
        except (OSError, hiredis.HiredisError, ValueError, IndexError):
            # The last two: nothing that a sentinel would say.
            self.close()
            self._lost()

    def _send(self) -> None:
        assert self._socket
        if self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        if not self._unsent:
            self._selector.modify(self._socket, selectors.EVENT_READ, self._ready)

    def _receive(self) -> None:
        assert self._socket
        data = self._socket.recv(65536)
        if data is None:
            # Of the handshake.
            return
        if not data:
            raise ConnectionError("closed")
        self._reader.feed(data)
        # One of them may close this.
        while self.descriptor >= 0 and (reply := self._reader.gets()) is not False:
            if not self._replies_to_login:
                self._heard(reply)
            elif isinstance(reply, hiredis.ReplyError):
                raise ConnectionError(reply)
            else:
                self._replies_to_login -= 1


class _Sentinel:
    """What one sentinel says. One connection is for events, another for questions: a subscribed one takes none."""

    def __init__(self, watch: "SentinelWatch", address: Address) -> None:
        self._watch, self._address = watch, address
        self._conversations: list[Conversation] = []
        self._attempts = 0
        self._replies: list[Any] = []
        self._asked_at: float | None = None
        #: When to connect, or to ask.
        self._next = 0.0
        self.answer: Master | None = None

    def wake_at(self) -> float:
        return self._next if self._asked_at is None else self._asked_at + SILENCE

    def descriptors(self) -> list[int]:
        return [each.descriptor for each in self._conversations]

    def hurry(self) -> None:
        """Ask now."""
        if self._conversations:
            self._next = 0.0

    def tick(self, now: float) -> None:
        if self._asked_at is not None:
            if now - self._asked_at >= SILENCE:
                self.hang_up(now)
        elif now >= self._next:
            if not self._conversations:
                self._open(now)
            if self._conversations:
                self._ask(now)

    def hang_up(self, now: float) -> None:
        """Close the connections; the next attempt is after a pause."""
        for each in self._conversations:
            each.close()
        # What it last said stays valid until others know better.
        self._conversations, self._replies, self._asked_at = [], [], None
        self._next = now + AGAIN

    def _open(self, now: float) -> None:
        places = resolver.look_up([self._address], 0.0).get(self._address)
        if not places:
            self._next = now + AGAIN
            return
        place = places[self._attempts % len(places)]
        self._attempts += 1
        try:
            for heard in (self._take_reply, self._take_event):
                self._conversations.append(
                    Conversation(
                        self._watch.selector,
                        place,
                        self._address[0],
                        self._watch.access,
                        heard,
                        lambda: self.hang_up(time.monotonic()),
                    )
                )
        except OSError:
            self.hang_up(now)
            return
        self._conversations[1].say([("SUBSCRIBE", _PROMOTING, *_CHANGED)])

    def _ask(self, now: float) -> None:
        self._asked_at, self._replies = now, []
        self._conversations[0].say(self._watch.question)

    def _take_reply(self, reply: Any) -> None:
        self._replies.append(reply)
        if len(self._replies) == len(self._watch.question):
            now = time.monotonic()
            self._asked_at, self._next = None, now + PERIOD
            found = read_master(self._replies)
            if found is not None:
                self.answer = found
                self._watch.answered(now)

    def _take_event(self, message: Any) -> None:
        if isinstance(message, list) and len(message) == 3 and message[0] == b"message":
            self._watch.take_event(message[1], message[2].decode(errors="replace").split())


class SentinelWatch:
    """The master according to all sentinels; `changed` is called when it is another one."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        sentinels: Sequence[Address],
        service: str,
        changed: Callable[[Address], None],
        access: Access = OPEN,
        reached: Reached = same,
    ) -> None:
        self.selector = selector
        self.access, self._reached = access, reached
        self.question = master_question(service)
        self._service = service
        self._changed = changed
        self._sentinels = [_Sentinel(self, address) for address in sentinels]
        self._heard_at = float("-inf")
        self._master: Address | None = None
        #: A replica that is being promoted, and until when to rely on it.
        self._promoted: tuple[Address, float] | None = None

    def master(self) -> Address | None:
        """Return the current master; None if no sentinel has replied recently."""
        return self._master if time.monotonic() - self._heard_at < FRESH else None

    def tick(self, now: float) -> None:
        """Connect and ask what is due; call it after each `select`, and at the time of `wake_at`."""
        for sentinel in self._sentinels:
            sentinel.tick(now)

    def wake_at(self) -> float:
        return min(sentinel.wake_at() for sentinel in self._sentinels)

    def descriptors(self) -> list[int]:
        return [number for sentinel in self._sentinels for number in sentinel.descriptors()]

    def close(self) -> None:
        for sentinel in self._sentinels:
            sentinel.hang_up(float("inf"))

    def take_event(self, channel: bytes, words: Sequence[str]) -> None:
        """Process an event, such as `+failover-state-wait-promotion slave <name> <ip> <port> @ <service> ...`."""
        now = time.monotonic()
        if channel != _PROMOTING:
            for sentinel in self._sentinels:
                sentinel.hurry()
        elif words[4:6] == ["@", self._service]:
            self._promoted = (words[2], int(words[3])), now + PROMOTION
            self._decide(now)

    def answered(self, now: float) -> None:
        self._heard_at = now
        self._decide(now)

    def _decide(self, now: float) -> None:
        answers = [sentinel.answer for sentinel in self._sentinels if sentinel.answer]
        if not answers:
            return
        master = newest(answers).address
        if self._promoted is not None:
            promoted, until = self._promoted
            if promoted == master or now >= until:
                self._promoted = None
            else:
                master = promoted
        master = self._reached(master)
        if master != self._master:
            known, self._master = self._master, master
            if known is not None:
                log.warning("the master has changed", master=_shown(master), previous=_shown(known))
            self._changed(master)


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"

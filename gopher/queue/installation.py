"""Whether the server still holds what it held: a mark that was there when a process first looked is gone, or another.

A server that was restarted without its file, or FLUSHALL, takes jobs as before, but what processes have written once
is gone: names of queues, schedules and limits of handlers. Each process that notices writes again what it declares.
The mark is the id of the installation in `<ns>:meta`; who finds it gone writes a new one, and when that was.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from gopher.base.salvage import order
from gopher.base.times import to_rfc3339
from gopher.server.calls import Command
from gopher.telemetry.logs import get_logger

from .keys import Keys

log = get_logger("server")

#: Seconds for which `/health` and `doctor` tell of it, unless an operator says before that it is known.
TOLD_FOR = 86_400.0
CONSEQUENCE = (
    "its jobs are gone, and so are schedules, limits and pauses that were set over the API or gopherctl: submit and "
    "set them again"
)

#: Marks whose loss this process has logged: it may have several clients.
_logged: set[tuple[str, bytes]] = set()


class Installation:
    """What one connection pool knows of the mark."""

    def __init__(self, keys: Keys) -> None:
        self._keys, self._meta = keys, keys.meta
        self._known: bytes | None = None
        self._seen_at = 0.0
        #: Whether it was noticed that the server was emptied, and the server does not say so yet: it may refuse writes.
        self.is_untold = False

    def read_command(self) -> Command:
        """Return the command whose reply `saw` takes."""
        return Command(self._meta, ("HMGET", self._meta, "instance", "emptied_at", "acknowledged"))

    def is_other(self, reply: Sequence[bytes | None]) -> bool:
        """Return whether a look's reply has not the mark that is known."""
        return self._known is not None and reply[0] != self._known

    def saw(self, reply: Any) -> bool:
        """Take a look's reply; return whether the server was emptied since the last one. The log tells it once."""
        if not isinstance(reply, list):
            return False
        before, seen_at = self._known, self._seen_at
        self._known, self._seen_at = reply[0], time.time() * 1000
        self.is_untold = self.is_untold and reply[1] is None
        if before is None or before == self._known:
            return False
        self.is_untold = True
        if (self._meta, before) not in _logged:
            _logged.add((self._meta, before))
            now = to_rfc3339(self._seen_at)
            log.error(f"the server was emptied or replaced: {CONSEQUENCE}", after=to_rfc3339(seen_at), before=now)
        return True

    def marks(self) -> list[Command]:
        """Return the commands that write a mark where there is none, and when the server was found emptied if it was.

        They are to be sent again as long as that is untold.
        """
        commands = [Command(self._meta, ("HSETNX", self._meta, "instance", uuid.uuid4().hex))]
        if self.is_untold:
            now = str(time.time_ns() // 1_000_000)
            commands.append(Command(self._meta, ("HSETNX", self._meta, "emptied_at", now)))
        return commands

    def declaring(self, queues: Sequence[str]) -> list[Command]:
        """Return the commands that make queues known again on a server that was emptied, with a new mark."""
        names, alarm = self._keys.queues, self._keys.alarm
        return [
            *self.marks(),
            Command(names, ("SADD", names, *queues)),
            Command(alarm, ("LPUSH", alarm, queues[0])),
            Command(alarm, ("LTRIM", alarm, "0", "0")),
        ]


def notice(reply: Sequence[bytes | None], now: float) -> str | None:
    """Return what people are told of a look's reply, None when there is nothing to tell. `now` in Unix ms."""
    emptied_at, acknowledged = order(reply[1]), order(reply[2])
    if emptied_at <= max(acknowledged, now - TOLD_FOR * 1000):
        return None
    return f"the server was emptied, which was noticed at {to_rfc3339(emptied_at)}: {CONSEQUENCE}"

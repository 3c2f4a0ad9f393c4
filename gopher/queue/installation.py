"""Detects an emptied server: the mark that was there when a process first looked is missing or different.

After a restart without its data, or FLUSHALL, a server accepts jobs as before, but data that processes write only once
is lost: names of queues, schedules and limits of handlers. Each process that notices writes its declarations again.
The mark is the id of the installation in `<ns>:meta`; a process that finds it missing writes a new one, and the time.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from gopher.base.salvage import order, shown_time
from gopher.base.times import to_rfc3339
from gopher.server.calls import Command
from gopher.telemetry.loggers import get_logger

from .keys import Keys

log = get_logger("server")

#: Seconds for which `/health` and `doctor` report it, unless an operator acknowledges it before.
TOLD_FOR = 86_400.0
CONSEQUENCE = (
    "jobs were lost, and schedules, limits and pauses set with the API or gopherctl: submit and set them again"
)

#: Marks whose loss this process has already logged: it may have several clients.
_logged: set[tuple[str, bytes]] = set()


class Installation:
    """The mark as known to a connection pool."""

    def __init__(self, keys: Keys) -> None:
        self._keys, self._meta = keys, keys.meta
        self._known: bytes | None = None
        self._seen_at = 0.0
        #: Counts the changes of webhooks, None if there have never been any.
        self.webhooks: bytes | None = None
        #: Whether the emptied server was noticed, but this has not been written yet: it may reject writes.
        self.is_untold = False

    def read_command(self) -> Command:
        """Return the command whose reply is passed to `saw`."""
        return Command(self._meta, ("HMGET", self._meta, "instance", "emptied_at", "acknowledged", "webhooks"))

    @property
    def id(self) -> str:
        """The mark as last read; "" before that."""
        return "" if self._known is None else self._known.decode("utf-8", "replace")

    def is_other(self, reply: Sequence[bytes | None]) -> bool:
        """Return whether a reply differs from the known mark."""
        return self._known is not None and reply[0] != self._known

    def saw(self, reply: Any) -> bool:
        """Process a reply; return whether the server was emptied since the last one, which is logged once."""
        if not isinstance(reply, list):
            return False
        before, seen_at = self._known, self._seen_at
        self._known, self._seen_at = reply[0], time.time() * 1000
        self.webhooks = reply[3] if len(reply) > 3 else None
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
        """Return the commands that write a missing mark, and when the server was found to be emptied, if it was.

        They are sent again until they succeed.
        """
        # Few programs find the mark missing.
        from .releases import marks

        commands = [Command(self._meta, ("HSETNX", self._meta, "instance", uuid.uuid4().hex)), *marks(self._keys)]
        if self.is_untold:
            now = str(time.time_ns() // 1_000_000)
            commands.append(Command(self._meta, ("HSETNX", self._meta, "emptied_at", now)))
        return commands

    def declaring(self, queues: Sequence[str]) -> list[Command]:
        """Return the commands that register queues again on an emptied server, with a new mark."""
        names, alarm = self._keys.queues, self._keys.alarm
        return [
            *self.marks(),
            Command(names, ("SADD", names, *queues)),
            Command(alarm, ("LPUSH", alarm, queues[0])),
            Command(alarm, ("LTRIM", alarm, "0", "0")),
        ]


def notice(reply: Sequence[bytes | None], now: float) -> str | None:
    """Return the warning for a reply, None if there is none. `now` is in Unix ms."""
    emptied_at, acknowledged = order(reply[1]), order(reply[2])
    if emptied_at <= max(acknowledged, now - TOLD_FOR * 1000):
        return None
    return f"the server was emptied, which was noticed at {shown_time(reply[1])}: {CONSEQUENCE}"

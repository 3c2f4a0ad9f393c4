"""Tells systemd when a process is ready, stopping, and not hanging: what sd_notify(3) does, without its library.

A unit with `Type=notify` and `WatchdogSec=` (deploy/systemd) gives its main process the address of a datagram socket.
Without one, nothing here does anything.
"""

import os
import socket
import time
from collections.abc import MutableMapping

from .logs import get_logger

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
#: Signs of life for each period of the watchdog, so that one that is late does no harm.
_BEATS = 3
#: Seconds until a message that was not received is sent again.
_AGAIN = 1.0

log = get_logger("service")


class ServiceManager:
    """The service manager of this process. It takes the variables out of the environment: they are for no other."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address, period, pid = (environ.pop(name, "") for name in _VARIABLES)
        self._address = self._read(address)
        self._every = float("inf")
        if self._address and period.isdecimal() and int(period) and pid in ("", str(os.getpid())):
            self._every = int(period) / 1e6 / _BEATS
        self._told_ready = self._told_stopping = self._is_unheard = False
        #: When the next sign of life is due (monotonic s).
        self.beat_at = time.monotonic() if self._every < float("inf") else float("inf")
        #: When there is something to tell (monotonic s): before the process is ready, in each round of its loop.
        self.due_at = 0.0 if self._address else float("inf")

    def tell(self, now: float, *, is_ready: bool) -> None:
        """Tell that the loop runs, and once that the process is ready. Called by the loop that would hang."""
        if is_ready and not self._told_ready and now >= self.due_at:
            self._told_ready = self._send("READY=1")
            # A busy loop has thousands of rounds in a second.
            self.due_at = min(now + _AGAIN, self.beat_at)
        if now >= self.beat_at:
            self._send("WATCHDOG=1")
            self.beat_at = now + self._every
        if self._told_ready:
            self.due_at = self.beat_at

    def stopping(self) -> None:
        """Tell that the process is about to end, which may take a while."""
        if not self._told_stopping:
            self._told_stopping = self._send("STOPPING=1")

    @staticmethod
    def _read(address: str) -> str:
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET is of a kind that is not supported: use a path or an abstract address")
            return ""
        # An abstract address begins with a null byte.
        return f"\0{address[1:]}" if address.startswith("@") else address

    def _send(self, message: str) -> bool:
        if not self._address:
            return False
        try:
            # For each message: an open socket would be inherited by children.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
                notices.setblocking(False)
                notices.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._is_unheard:
                log.warning("the service manager was not told", message=message, error=str(error))
            self._is_unheard = True
            return False
        self._is_unheard = False
        return True

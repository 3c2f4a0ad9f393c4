"""The API worker's record of a client's connection."""

import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from .bodies import HeadOnly
from .incoming import Incoming
from .outgoing import Outgoing
from .spool import Spooled

#: Maximum bytes to discard of what a client still sends after its request was rejected.
_DROPPED = 8 * 2**20


class Connection(TConn):  # type: ignore[misc]
    """A client's connection: what the loop waits for, until when, and what it does then or on timeout."""

    act: "Act"
    overdue: "Act"
    deadline = 0.0

    def __init__(self, *arguments: Any, read_timeout: float) -> None:
        super().__init__(*arguments)
        self.read_timeout = read_timeout
        #: Received bytes that belong to no request yet.
        self.buffer = b""
        self.incoming: Incoming | None = None
        self.request: Any = None
        self.outgoing: Outgoing | None = None
        #: Bytes that may still be discarded.
        self.dropped = _DROPPED
        #: Whether a request has been answered on it.
        self.is_known = False
        #: Bytes of a transfer that the client has received.
        self.received = 0
        #: Bytes of the current request's body that are on disk.
        self.on_disk = 0
        #: Bytes moved for the current request, which is about what it has cost the loop.
        self.moved = 0
        #: Events registered with the poller, 0 for none.
        self.event = 0

    def read(self, most: int) -> bytes | None:
        """Return what the client has sent: b"" if it has disconnected, None if nothing has arrived."""
        try:
            piece: bytes = self.sock.recv(most)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return piece

    def say(self, text: bytes) -> None:
        """Send a short text; none if the client has disconnected."""
        with suppress(OSError):
            self.sock.send(text)

    def drop_body(self) -> int:
        """Drop the body of a request that has ended, if it is on disk; return how many bytes that were."""
        dropped, self.on_disk = self.on_disk, 0
        if self.request is not None and isinstance(self.request.body, Spooled):
            self.request.body.close()
        return dropped

    @property
    def needs_body(self) -> bool:
        """Whether only the head of a request has been checked, with success."""
        return isinstance(self.request.body, HeadOnly) and self.request.body.checked is not None


Act = Callable[[Connection], None]


class Answering(NamedTuple):
    """What gunicorn needs of a connection to handle a request."""

    sock: Outgoing
    client: Any
    server: Any


def cost_of(event: tuple[selectors.SelectorKey, int]) -> int:
    """Return what a poller's event has cost so far: less than nothing for listeners and calls from threads."""
    data = event[0].data
    return data.moved if isinstance(data, Connection) else -1

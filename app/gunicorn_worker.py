"""gunicorn's threaded worker, except that slow clients never hold a thread: its loop does all waiting for clients.

The loop receives requests and passes complete ones to a thread (incoming.py), sends the part of a response that a
client does not read immediately (outgoing.py), and waits for clients to close. Each of these has a deadline. So
other clients are served while hundreds send or read a byte now and then, even without a buffering proxy in front.
"""

import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from gopher.telemetry.logs import get_logger

from .capacity import LEAST_RATE
from .incoming import PIECE, Incoming
from .outgoing import Outgoing
from .refusals import Refused, request_id_of, written

#: Maximum bytes of all incomplete requests of a process.
_HELD = 32 * 2**20
#: Maximum bytes to discard of what a client still sends after its request was rejected.
_DROPPED = 8 * 2**20
#: Seconds that a connection may take once the worker is stopping.
_LAST_WORDS = 2.0
#: Seconds between two checks for expired connections.
_BETWEEN_LOOKS = 0.25
_log = get_logger("api")


class Connection(TConn):  # type: ignore[misc]
    """A client's connection: what the loop waits for, until when, and what it does then or on timeout."""

    act: "Act"
    overdue: "Act"
    deadline = 0.0

    def __init__(self, *arguments: Any, read_timeout: float) -> None:
        super().__init__(*arguments)
        self.read_timeout = read_timeout
        #: Received bytes that belong to no request yet.
        self.buffer = bytearray()
        self.incoming: Incoming | None = None
        self.request: Any = None
        self.outgoing: Outgoing | None = None
        #: Bytes that may still be discarded.
        self.dropped = _DROPPED
        #: Events registered with the poller, 0 for none.
        self.event = 0


Act = Callable[[Connection], None]


class Answering(NamedTuple):
    """What gunicorn needs of a connection to handle a request."""

    sock: Outgoing
    client: Any
    server: Any


class Worker(ThreadWorker):  # type: ignore[misc]
    """Everything added here runs in the loop's thread, except for `handle`."""

    #: Set by gunicorn_conf: timeouts for receiving a request and sending its response, and the maximum body size.
    read_timeout = 10.0
    write_timeout = 10.0
    longest_body = 2**20

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: All connections except those whose request is with a thread.
        self._waiting: set[Connection] = set()
        self._held = 0
        self._next_look = 0.0
        self._stops_at: float | None = None

    def accept(self, listener: Any) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # Another process has accepted it by now, or the client has disconnected.
            return
        self.nr_conns += 1
        made = Connection(self.cfg, sock, address, listener.getsockname(), read_timeout=self.read_timeout)
        self._receive(made, self.read_timeout)

    def _receive(self, conn: Connection, seconds: float) -> None:
        """Receive the next request, which has to start within the given seconds."""
        conn.incoming = Incoming(conn, self.longest_body)
        if conn.buffer:
            # Pipelined: it arrived together with the previous request.
            self._await(conn, selectors.EVENT_READ, self._on_more, self._too_slow, self.read_timeout)
            self._advance(conn, conn.incoming)
        else:
            self._await(conn, selectors.EVENT_READ, self._on_more, self._close, seconds)

    def _on_more(self, conn: Connection) -> None:
        piece = self._read(conn)
        incoming = conn.incoming
        if piece is None or incoming is None:
            return
        if not piece:
            self._close(conn)
            return
        if not incoming.has_begun:
            conn.overdue, conn.deadline = self._too_slow, time.monotonic() + self.read_timeout
        conn.buffer += piece
        self._advance(conn, incoming)

    def _advance(self, conn: Connection, incoming: Incoming) -> None:
        try:
            is_whole = incoming.advance()
        except Refused as refusal:
            self._refuse(conn, refusal)
            return
        except Exception:  # noqa: BLE001 - any error of a request ends its connection, not the process
            _log.exception("failed to read a request")
            self._refuse(conn, Refused(500, "see the API's log"))
            return
        if is_whole:
            self._pass_on(conn, incoming)
            return
        if incoming.waits_to_be_asked:
            self._say(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
        self._hold(incoming)

    def _hold(self, incoming: Incoming) -> None:
        """Count the bytes held of a request; if all of them together are too large, drop the largest."""
        self._held += incoming.size - incoming.counted
        incoming.counted = incoming.size
        if self._held > max(_HELD, 2 * self.longest_body):
            largest = max(self._waiting, key=lambda conn: conn.incoming.counted if conn.incoming else 0)
            details = "too many large requests at the same time: try again in a moment"
            self._refuse(largest, Refused(503, details))

    def _pass_on(self, conn: Connection, incoming: Incoming) -> None:
        self._leave(conn)
        conn.request = incoming.request
        conn.outgoing = Outgoing(conn.sock)
        if self.nr_conns > self.max_keepalived:
            conn.request.force_close()
        self.enqueue_req(conn)

    def handle(self, conn: Connection) -> bool:
        """Handle a request; return whether the connection stays open. Runs in a thread."""
        outgoing = conn.outgoing
        assert outgoing is not None
        try:
            keep = self.handle_request(conn.request, Answering(outgoing, conn.client, conn.server))
            outgoing.flush()
        except (ConnectionError, StopIteration):
            # The client has disconnected, or gunicorn has logged an incomplete response.
            return False
        except (Exception, SystemExit):  # noqa: BLE001 - gunicorn and the application have caught what they expect
            request_id = request_id_of("")
            _log.exception("unexpected error", request_id=request_id)
            if not outgoing.has_begun:
                outgoing.sendall(written(500, f"see the API's log for request {request_id}", request_id))
            return False
        return bool(keep)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        if conn.outgoing is None or conn.outgoing.is_empty:
            self._answered(conn, keep)
        else:
            act = partial(self._on_room, keep)
            self._await(conn, selectors.EVENT_WRITE, act, self._reads_too_slowly, self.write_timeout)

    def _on_room(self, keep: bool, conn: Connection) -> None:
        assert conn.outgoing is not None
        try:
            sent = conn.outgoing.flush()
        except OSError:
            self._close(conn)
            return
        if conn.outgoing.is_empty:
            self._answered(conn, keep)
        else:
            conn.deadline = min(conn.deadline + sent / LEAST_RATE, time.monotonic() + self.write_timeout)

    def _answered(self, conn: Connection, keep: bool) -> None:
        conn.request = conn.outgoing = None
        if keep:
            self._receive(conn, self.cfg.keepalive)
        else:
            self._linger(conn)

    def _refuse(self, conn: Connection, refusal: Refused) -> None:
        """Reject a request without passing it to a thread."""
        request_id = request_id_of(conn.incoming.given_id if conn.incoming else "")
        address = conn.client[0] if conn.client else None
        _log.info("request rejected", status=refusal.status, why=refusal.reason, address=address, request_id=request_id)
        self._say(conn, written(refusal.status, str(refusal), request_id))
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Close a connection after its client has done so: an earlier close might lose our response."""
        self._leave(conn)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.buffer.clear()
        self._await(conn, selectors.EVENT_READ, self._drop, self._close, self.read_timeout)

    def _drop(self, conn: Connection) -> None:
        piece = self._read(conn)
        if piece is None:
            return
        conn.dropped -= len(piece)
        if not piece or conn.dropped <= 0:
            self._close(conn)

    def _too_slow(self, conn: Connection) -> None:
        details = f"the request was not complete within {self.read_timeout:g} s"
        self._refuse(conn, Refused(408, details, "a client was too slow"))

    def _reads_too_slowly(self, conn: Connection) -> None:
        self.log.info("closed the connection of a client that read too slowly")
        self._close(conn)

    def murder_pending(self) -> None:
        """Time out connections; called after each round of the loop."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _BETWEEN_LOOKS
        if not self.alive and self._stops_at is None:
            self._stops_at = now + _LAST_WORDS
        is_over = self._stops_at is not None and self._stops_at <= now
        for conn in list(self._waiting):
            # A response that is being sent is not cut off by a stop.
            if conn.deadline <= now or (is_over and conn.outgoing is None):
                conn.overdue(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, _BETWEEN_LOOKS) if self._waiting else timeout)

    def _await(self, conn: Connection, event: int, act: Act, overdue: Act, seconds: float) -> None:
        conn.act, conn.overdue, conn.deadline = act, overdue, time.monotonic() + seconds
        self._waiting.add(conn)
        if conn.event == event:
            return
        if conn.event:
            self.poller.modify(conn.sock, event, partial(self._on_event, conn))
        else:
            self.poller.register(conn.sock, event, partial(self._on_event, conn))
        conn.event = event

    def _on_event(self, conn: Connection, _sock: Any) -> None:
        if conn in self._waiting:
            conn.act(conn)
        else:
            # A thread has its request. Events are rare meanwhile, so the connection stays registered until one occurs.
            self._look_away(conn)

    def _look_away(self, conn: Connection) -> None:
        if conn.event:
            self.poller.unregister(conn.sock)
            conn.event = 0

    def _leave(self, conn: Connection) -> None:
        """Unregister a connection from the poller."""
        self._waiting.discard(conn)
        if conn.incoming is not None:
            self._held -= conn.incoming.counted
            conn.incoming = None

    def _close(self, conn: Connection) -> None:
        self._leave(conn)
        self._look_away(conn)
        self.nr_conns -= 1
        if conn.outgoing is not None:
            conn.outgoing.close()
        conn.close()

    def _read(self, conn: Connection) -> bytes | None:
        """Return what a client has sent: b"" if it has disconnected, None if nothing has arrived."""
        try:
            piece: bytes = conn.sock.recv(PIECE)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return piece

    def _say(self, conn: Connection, text: bytes) -> None:
        with suppress(OSError):
            conn.sock.send(text)

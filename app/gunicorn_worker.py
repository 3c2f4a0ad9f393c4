"""gunicorn's threaded worker, except that slow clients never hold a thread: its loop does all waiting for clients.

The loop receives requests and passes complete ones to a thread (incoming.py), sends the part of a response that a
client does not read immediately (outgoing.py), and waits for clients to close. Each of these has a deadline. So
other clients are served while hundreds send or read a byte now and then, even without a buffering proxy in front.

A thread may get the head of a request alone: it answers if the request is rejected, and the loop discards the body.
"""

import os
import random
import selectors
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from gopher.telemetry.logs import get_logger

from .bodies import PIECE, HeadOnly
from .capacity import LEAST_RATE, TRANSFERS
from .connection import Act, Answering, Connection, cost_of
from .incoming import Incoming
from .outgoing import Outgoing
from .refusals import Refused, request_id_of, written

#: Maximum bytes of all incomplete requests of a process.
_HELD = 24 * 2**20
#: The same of their parts that are on disk, of those with a thread too.
_ON_DISK = 2 * 2**30
#: Seconds that a connection may take once the worker is stopping.
_LAST_WORDS = 2.0
#: Seconds between two checks for expired connections.
_BETWEEN_LOOKS = 0.25
#: Seconds after which a round of the loop ends, even if more connections are ready.
_LONGEST_ROUND = 0.005
#: How many pieces of an overdue connection are moved before it is given up: most requests have fewer.
_PIECES_OF_ONE = 32
#: How many connections are accepted at once while rounds take longer than that.
_ACCEPTED_WHEN_BEHIND = 16
_log = get_logger("api")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Everything added here runs in the loop's thread, except for `handle`."""

    #: Set by gunicorn_conf: timeouts for receiving a request and sending its response, and the maximum body size.
    read_timeout = 10.0
    write_timeout = 10.0
    longest_body = 2**20
    longest_upload = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: All connections except those whose request is with a thread.
        self._waiting: set[Connection] = set()
        self._held = 0
        self._on_disk = 0
        self._next_look = 0.0
        #: Whether the last round took too long.
        self._is_behind = False
        self._stops_at: float | None = None

    def load_wsgi(self) -> None:
        """Load the application; stop on SIGTERM at once: gunicorn would do so only after that, which may take long."""
        before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        super().load_wsgi()
        signal.signal(signal.SIGTERM, before)

    def get_thread_pool(self) -> Any:
        #: For uploads: storing them takes as long as the store does, and others don't wait.
        self._transfers = ThreadPoolExecutor(TRANSFERS)
        return super().get_thread_pool()

    def enqueue_req(self, conn: Connection) -> None:
        is_upload = conn.request.is_upload and not isinstance(conn.request.body, HeadOnly)
        pool = self._transfers if is_upload else self.tpool
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def accept(self, listener: Any) -> None:
        # As a rule one at a time, so that all processes get their share.
        for _ in range(_ACCEPTED_WHEN_BEHIND if self._is_behind else 1):
            if self.nr_conns < self.worker_connections:
                self._accept(listener)

    def _accept(self, listener: Any) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # Another process has accepted it by now, or the client has disconnected.
            return
        if self.nr_conns + 1 >= self.worker_connections:
            self._make_room()
        self.nr_conns += 1
        made = Connection(self.cfg, sock, address, listener.getsockname(), read_timeout=self.read_timeout)
        self._receive(made, self.read_timeout)

    def _make_room(self) -> None:
        """Close the connection that would time out next: otherwise no client could connect for that long.

        Those that have been used already are closed last: their clients may be about to send the next request.
        """
        receiving = [conn for conn in self._waiting if conn.outgoing is None]
        if receiving:
            self.log.info("closed an idle or slow connection: there were too many")
            self._close(min(receiving, key=lambda conn: (conn.is_known, conn.deadline)))

    def _receive(self, conn: Connection, seconds: float) -> None:
        """Receive the next request, which has to start within the given seconds."""
        conn.incoming, conn.moved = Incoming(conn, self.longest_body, self.longest_upload), 0
        piece, conn.buffer = conn.buffer, b""
        if piece:
            # Pipelined: it arrived together with the previous request.
            self._await(conn, selectors.EVENT_READ, self._on_more, self._too_slow, self.read_timeout)
            self._advance(conn, conn.incoming, piece)
        else:
            self._await(conn, selectors.EVENT_READ, self._on_more, self._close, seconds)

    def _on_more(self, conn: Connection) -> None:
        incoming = conn.incoming
        assert incoming is not None
        piece = conn.read(incoming.most)
        if piece is None:
            return
        if not piece:
            self._close(conn)
            return
        conn.moved += len(piece)
        if not incoming.has_begun:
            conn.overdue, conn.deadline = self._too_slow, time.monotonic() + self.read_timeout
        elif incoming.is_transfer:
            # Bytes sent early don't extend it.
            conn.deadline = min(conn.deadline + len(piece) / LEAST_RATE, time.monotonic() + self.read_timeout)
        self._advance(conn, incoming, piece)

    def _advance(self, conn: Connection, incoming: Incoming, piece: bytes) -> None:
        try:
            is_ready = incoming.advance(piece)
        except Refused as refusal:
            self._refuse(conn, refusal)
            return
        except Exception:  # noqa: BLE001 - any error of a request ends its connection, not the process
            _log.exception("failed to read a request")
            self._refuse(conn, Refused(500, "see the API's log"))
            return
        if is_ready:
            self._pass_on(conn, incoming)
        else:
            self._hold(conn, incoming)

    def _hold(self, conn: Connection, incoming: Incoming) -> None:
        """Count the bytes held of a request; if all of them together are too large, drop the largest."""
        self._held += incoming.size - incoming.counted
        incoming.counted = incoming.size
        self._on_disk += incoming.on_disk - conn.on_disk
        conn.on_disk = incoming.on_disk
        if self._held > _HELD:
            self._drop_largest(lambda conn: conn.incoming.counted if conn.incoming else 0)
        elif self._on_disk > max(_ON_DISK, 2 * self.longest_body, 2 * self.longest_upload):
            self._drop_largest(lambda conn: conn.on_disk)

    def _drop_largest(self, size: Callable[[Connection], int]) -> None:
        details = "too many large requests at the same time: try again in a moment"
        self._refuse(max(self._waiting, key=size), Refused(503, details))

    def _pass_on(self, conn: Connection, incoming: Incoming) -> None:
        self._waiting.discard(conn)
        conn.request = incoming.request
        if not isinstance(conn.request.body, HeadOnly):
            self._release(conn)
        conn.outgoing = Outgoing(conn.sock)
        if self.nr_conns > self.max_keepalived:
            conn.request.must_close = True
        self.enqueue_req(conn)

    def handle(self, conn: Connection) -> bool:
        """Handle a request; return whether the connection stays open. Runs in a thread."""
        outgoing = conn.outgoing
        assert outgoing is not None
        try:
            keep = self.handle_request(conn.request, Answering(outgoing, conn.client, conn.server))
            if conn.needs_body:
                # What gunicorn has written is no response.
                return True
            outgoing.flush()
        except (ConnectionError, StopIteration):
            # The client has disconnected, or gunicorn has logged an incomplete response.
            return False
        except (Exception, SystemExit):  # noqa: BLE001 - gunicorn and the application have caught what they expect
            request_id = request_id_of("")
            _log.exception("unexpected error", request_id=request_id)
            if outgoing.began_at is None:
                outgoing.sendall(written(500, f"see the API's log for request {request_id}", request_id))
            return False
        return bool(keep)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        if keep and conn.needs_body:
            self._receive_body(conn)
        elif conn.outgoing is None or conn.outgoing.is_empty:
            self._answered(conn, keep)
        else:
            self._send_rest(conn, conn.outgoing, keep)

    def _receive_body(self, conn: Connection) -> None:
        """Receive the body of a request whose head has passed its checks, until the same deadline."""
        incoming, head = conn.incoming, conn.request.body
        assert incoming is not None
        incoming.resume(head)
        conn.request = conn.outgoing = None
        self._await(conn, selectors.EVENT_READ, self._on_more, self._too_slow, conn.deadline - time.monotonic())
        if incoming.wants_continue:
            conn.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif incoming.has_ended:
            # A body that is longer than others may be, and has come with the head.
            self._advance(conn, incoming, b"")

    def _send_rest(self, conn: Connection, outgoing: Outgoing, keep: bool) -> None:
        seconds = self.write_timeout
        if outgoing.is_transfer:
            conn.received = outgoing.received
        elif outgoing.began_at is not None:
            seconds -= time.monotonic() - outgoing.began_at
        self._await(conn, selectors.EVENT_WRITE, partial(self._on_room, keep), self._reads_too_slowly, seconds)

    def _on_room(self, keep: bool, conn: Connection) -> None:
        assert conn.outgoing is not None
        try:
            sent = conn.outgoing.flush()
        except OSError:
            self._close(conn)
            return
        conn.moved += sent
        if conn.outgoing.is_empty:
            self._answered(conn, keep)
        elif conn.outgoing.is_transfer:
            self._give_time(conn, conn.outgoing)

    def _answered(self, conn: Connection, keep: bool) -> None:
        self._on_disk -= conn.drop_body()
        conn.request = conn.outgoing = None
        if keep:
            conn.is_known = True
            self._receive(conn, self.cfg.keepalive)
        else:
            self._linger(conn)

    def _refuse(self, conn: Connection, refusal: Refused) -> None:
        """Reject a request without passing it to a thread."""
        request = conn.incoming.request if conn.incoming else None
        request_id = request_id_of(request.given_id if request else "")
        address = conn.client[0] if conn.client else None
        _log.info("request rejected", status=refusal.status, why=refusal.reason, address=address, request_id=request_id)
        conn.say(written(refusal.status, str(refusal), request_id))
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Close a connection after its client has done so: an earlier close might lose our response."""
        self._leave(conn)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.buffer = b""
        self._await(conn, selectors.EVENT_READ, self._drop, self._close, self.read_timeout)

    def _drop(self, conn: Connection) -> None:
        piece = conn.read(PIECE)
        if piece is None:
            return
        conn.dropped -= len(piece)
        if not piece or conn.dropped <= 0:
            self._close(conn)

    def _too_slow(self, conn: Connection) -> None:
        details = f"the request was not complete within {self.read_timeout:g} s"
        if conn.incoming is not None and conn.incoming.is_transfer:
            details = f"the body has to arrive at {LEAST_RATE} or more bytes per second"
        self._refuse(conn, Refused(408, details, "a client was too slow"))

    def _give_time(self, conn: Connection, outgoing: Outgoing) -> None:
        """Extend the deadline of a transfer by what the client has received."""
        received = outgoing.received
        conn.deadline += (received - conn.received) / LEAST_RATE
        conn.deadline = min(conn.deadline, time.monotonic() + self.write_timeout)
        conn.received = received

    def _reads_too_slowly(self, conn: Connection) -> None:
        if conn.outgoing is not None and conn.outgoing.is_transfer:
            self._give_time(conn, conn.outgoing)
            if conn.deadline > time.monotonic():
                return
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
            if conn.deadline <= now:
                self._catch_up(conn, now)
            # A response that is being sent is not cut off by a stop.
            if conn in self._waiting and (conn.deadline <= now or (is_over and conn.outgoing is None)):
                conn.overdue(conn)

    def _catch_up(self, conn: Connection, now: float) -> None:
        """Read what a client has sent, or send what it has room for: it may be this process that is late.

        It was frozen, or has much to do.
        """
        for _ in range(_PIECES_OF_ONE):
            moved = conn.moved
            # Another one may have closed it, to make room.
            if conn in self._waiting and conn.deadline <= now:
                conn.act(conn)
            if conn.moved == moved:
                return

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Handle what is ready: new connections and responses first, then the requests that have cost least so far.

        After a while, the others wait for the next round, apart from one of them. So a request is served quickly while
        hundreds of clients send as much as they can.
        """
        ready = self.poller.select(min(timeout, _BETWEEN_LOOKS) if self._waiting else timeout)
        ready.sort(key=cost_of, reverse=True)
        ends_at = time.monotonic() + _LONGEST_ROUND
        is_behind = False
        while ready and not is_behind:
            self._dispatch(ready.pop()[0])
            is_behind = time.monotonic() > ends_at
        self._is_behind = is_behind
        if ready:
            self._dispatch(random.choice(ready)[0])  # noqa: S311 - any of them

    def _dispatch(self, key: selectors.SelectorKey) -> None:
        if isinstance(key.data, Connection):
            self._on_event(key.data)
        else:
            # Of gunicorn: a listener, or calls from threads.
            key.data(key.fileobj)

    def _await(self, conn: Connection, event: int, act: Act, overdue: Act, seconds: float) -> None:
        conn.act, conn.overdue, conn.deadline = act, overdue, time.monotonic() + seconds
        self._waiting.add(conn)
        if conn.event == event:
            return
        if conn.event:
            self.poller.modify(conn.sock, event, conn)
        else:
            self.poller.register(conn.sock, event, conn)
        conn.event = event

    def _on_event(self, conn: Connection) -> None:
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
        """Stop waiting for a connection, and drop its unfinished request."""
        self._waiting.discard(conn)
        if conn.incoming is not None:
            conn.incoming.close()
        self._release(conn)
        self._on_disk -= conn.drop_body()

    def _release(self, conn: Connection) -> None:
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

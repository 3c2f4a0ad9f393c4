"""gunicorn's threaded worker, but a thread is given whole requests only: a slow client costs a socket, not a thread.

The loop of the worker gathers what clients send, without waiting for any of them. A request goes to a thread once it is
there with its body; one that is not there in time is given up. So a few hundred clients that send a byte now and then
keep nobody out, also without a buffering proxy in front.
"""

import re
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from .lines import TYPES

#: Bytes: more of a head than gunicorn reads; it refuses the rest.
_HEAD = 64 * 1024
_PIECE = 64 * 1024
#: Bytes that all connections of a process may have gathered; above, threads read for themselves.
_GATHERED = 64 * 2**20
#: Seconds that a connection may still take once the worker is stopping.
_LAST_WORDS = 2.0
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\Z")
#: Bytes of the line with a chunk's size.
_LONGEST_LINE = 1024
_LINES = re.compile(
    rb"\r\ncontent-type:[ \t]*(" + b"|".join(map(re.escape, map(str.encode, TYPES))) + rb")", re.IGNORECASE
)
#: Bytes that are dropped of a body that is too long.
_DROPPED = 8 * 2**20
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Gathering:
    """A connection whose next request is on its way."""

    def __init__(self, conn: Any, deadline: float) -> None:
        self.conn = conn
        self.deadline = deadline
        self.data = bytearray()
        #: Bytes that have to be there before it is worth another look, and where the next chunk of a body begins.
        self._wanted = 0
        self._chunk = 0
        self._asked = False
        #: Whether the body is longer than any that is read: it is dropped as it comes.
        self.is_too_long = False
        self._dropped = 0

    def is_whole(self, longest: int) -> bool:
        """Return whether nothing more needs to come before a thread can go on, be it to refuse the request.

        A body of more than `longest` bytes is refused by its Content-Length, or when so much of it is there.
        """
        if len(self.data) < self._wanted:
            return False
        end = self.data.find(b"\r\n\r\n") + 4
        if end < 4:
            return len(self.data) > _HEAD
        head = bytes(self.data[: end - 2])
        if _CHUNKED.search(head):
            self._chunk = self._chunk or end
            if len(self.data) - end > longest:
                # Bodies of lines may be of any length: a thread reads them as they come.
                if _LINES.search(head):
                    return True
                self.is_too_long = True
            is_last = self._has_last_chunk()
            return self._are_dropped(end, head, is_last) if self.is_too_long else is_last
        length = int(match[1]) if (match := _LENGTH.search(head)) else 0
        if length <= longest:
            self._wanted = end + length
            return len(self.data) >= self._wanted
        self.is_too_long = not _LINES.search(head)
        return not self.is_too_long or self._is_dropped(end, length)

    def _is_dropped(self, end: int, length: int) -> bool:
        """Drop what has come of a body that is too long; return whether a client has sent enough to read our answer."""
        self._dropped += len(self.data) - end
        del self.data[end:]
        return self._dropped >= min(length, _DROPPED) or _EXPECT.search(self.data) is not None

    def _are_dropped(self, end: int, head: bytes, is_last: bool) -> bool:
        """Drop the chunks that have come of a body that is too long, as `_is_dropped` does."""
        self._dropped += self._chunk - end
        del self.data[end : self._chunk]
        self._chunk = end
        if not is_last and self._dropped + len(self.data) - end < _DROPPED:
            return False
        # What is left can't be read as chunks any more, and need not be: a length that is too long is refused unread.
        self.data[:] = _CHUNKED.sub(b"\r\nContent-Length: %d\r\n" % 2**40, head, count=1) + b"\r\n"
        return True

    def _has_last_chunk(self) -> bool:
        """Return whether a chunked body has come to its end, or to what is no chunk: gunicorn refuses that."""
        while (line := self.data.find(b"\r\n", self._chunk)) >= 0:
            size = _SIZE.match(self.data, self._chunk, line)
            if size is None:
                return True
            if int(size[1], 16) == 0:
                # After the last chunk come trailers, if any, and an empty line.
                return self.data.find(b"\r\n\r\n", line) >= 0
            end = line + 2 + int(size[1], 16)
            if len(self.data) < end + 2:
                return False
            if self.data[end : end + 2] != b"\r\n":
                return True
            self._chunk = end + 2
        return len(self.data) - self._chunk > _LONGEST_LINE

    def waits_to_be_asked(self) -> bool:
        """Return, once, whether the client wants to be asked for its body before it sends it."""
        if self._asked or not _EXPECT.search(self.data):
            return False
        self._asked = True
        return True


class Worker(ThreadWorker):  # type: ignore[misc]
    """All that is new here runs in the loop's own thread, but for `handle`."""

    #: Set by gunicorn_conf: seconds for a request to arrive, bytes of the longest body.
    read_timeout = 10.0
    longest_body = 2**20

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathering: dict[Any, Gathering] = {}
        self._bytes = 0

    def enqueue_req(self, conn: TConn) -> None:
        """Gather a request before a thread gets it. The connection is new, or has been kept alive."""
        gathering = self._gathering[conn] = Gathering(conn, time.monotonic() + self.read_timeout)
        if conn.initialized:
            # What came right behind the request before.
            self._add(gathering, conn.parser.unreader.take_buffered())
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_more, gathering))
        self._on_more(gathering, conn.sock)

    def _on_more(self, gathering: Gathering, sock: Any) -> None:
        try:
            piece = sock.recv(_PIECE)
        except BlockingIOError:
            piece = None
        except OSError:
            piece = b""
        if piece == b"":
            self._give_up(gathering)
            return
        self._add(gathering, piece or b"")
        before = len(gathering.data)
        is_whole = gathering.is_whole(self.longest_body)
        self._bytes -= before - len(gathering.data)
        if is_whole or self._bytes > _GATHERED:
            self._take_out(gathering)
            gathering.conn.gathered = bytes(gathering.data)
            if gathering.is_too_long:
                # Nobody is to wait for the rest of it, nor is another request to come this way.
                self._hear_no_more(gathering.conn.sock)
                gathering.conn.gathered = gathering.conn.gathered.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            super().enqueue_req(gathering.conn)
        elif gathering.waits_to_be_asked():
            # gunicorn would ask once a thread has the request; it does so again, which clients pass over.
            self._say(gathering.conn.sock, b"HTTP/1.1 100 Continue\r\n\r\n")

    def handle(self, conn: TConn) -> Any:
        """Serve the request that was gathered. Runs in a thread."""
        conn.data_ready = True
        try:
            conn.sock.setblocking(True)
            conn.init()
            conn.parser.unreader.unread(conn.gathered)
        except OSError:
            return False
        return super().handle(conn)

    def murder_pending(self) -> None:
        """Give up those who have taken too long; called once a second at least."""
        super().murder_pending()
        now = time.monotonic()
        for gathering in list(self._gathering.values()):
            if not self.alive:
                gathering.deadline = min(gathering.deadline, now + _LAST_WORDS)
            if gathering.deadline <= now:
                if gathering.data:
                    self.log.info("a client was too slow: its connection was closed")
                    self._say(gathering.conn.sock, _TOO_SLOW)
                self._give_up(gathering)

    def _add(self, gathering: Gathering, data: bytes) -> None:
        gathering.data += data
        self._bytes += len(data)

    def _say(self, sock: Any, text: bytes) -> None:
        try:
            sock.send(text)
        except OSError:
            pass

    def _hear_no_more(self, sock: Any) -> None:
        try:
            sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def _give_up(self, gathering: Gathering) -> None:
        self._take_out(gathering)
        self.nr_conns -= 1
        gathering.conn.close()

    def _take_out(self, gathering: Gathering) -> None:
        self._gathering.pop(gathering.conn, None)
        self._bytes -= len(gathering.data)
        try:
            self.poller.unregister(gathering.conn.sock)
        except (OSError, KeyError, ValueError):
            pass

"""Outgoing responses: a thread writes a response here, and the loop sends what the client does not read immediately."""

import fcntl
import os
import socket
import sys
import tempfile
import termios
import time
from collections import deque
from typing import IO

#: Bytes that are buffered before sending, and that are kept in memory while the client does not read.
_PIECE = 64 * 1024
#: Maximum bytes sent before other connections are served.
_MOST = 1024 * 1024


class Part:
    """A part of a file, read when it is sent."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self.file = file
        self.start = start
        self.end = end


class Outgoing:
    """Replaces the socket while a thread responds, so that slow readers hold no thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        #: When the response was started; from then on it can't be replaced by an error.
        self.began_at: float | None = None
        #: Whether it is a file or a stream: clients may take any time as long as they read it at LEAST_RATE.
        self.is_transfer = False
        self._sent = 0
        self._pieces: list[bytes] = []
        self._collected = 0
        #: Sent before `_pieces`: files of the response, and a temporary one of what is too large for memory.
        self._parts: deque[Part] = deque()
        self._spool: Part | None = None

    @property
    def is_empty(self) -> bool:
        return not self._pieces and not self._parts

    def sendall(self, data: bytes) -> None:
        if self.began_at is None:
            self.began_at = time.monotonic()
        self._pieces.append(data)
        self._collected += len(data)
        if self._collected > _PIECE:
            self.flush()
            if self._collected > _PIECE:
                self._put_aside()

    def sendfile(self, file: IO[bytes], offset: int, count: int) -> None:
        """Send a part of a file, as gunicorn requests it. The file may be closed before it is sent."""
        if self._pieces:
            self._put_aside()
        self._spool = None
        self.is_transfer = True
        own = os.fdopen(os.dup(file.fileno()), "rb", buffering=0)
        self._parts.append(Part(own, offset, offset + count))

    @property
    def received(self) -> int:
        """How many bytes the client has received. The system buffers megabytes, so that most is sent long before."""
        try:
            waiting = fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return self._sent
        return self._sent - int.from_bytes(waiting, sys.byteorder)

    def flush(self) -> int:
        """Send what the client accepts now; return how much. Raises OSError if the connection is closed."""
        total = 0
        try:
            while self._parts and total < _MOST:
                total += self._send_part(self._parts[0])
            while self._pieces and not self._parts:
                data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                sent = self._sock.send(data)
                total += sent
                self._collected -= sent
                self._pieces = [data[sent:]] if sent < len(data) else []
        except BlockingIOError:
            pass
        finally:
            self._sent += total
        return total

    def close(self) -> None:
        for part in self._parts:
            part.file.close()
        self._parts.clear()

    def shutdown(self, _how: int) -> None:
        """Do nothing: gunicorn calls this for broken responses, which are ended elsewhere."""
        raise OSError

    def _send_part(self, part: Part) -> int:
        data = os.pread(part.file.fileno(), min(_PIECE, part.end - part.start), part.start)
        if not data:
            raise ConnectionAbortedError("a file was truncated while it was being sent")
        sent = self._sock.send(data)
        part.start += sent
        if part.start == part.end:
            self._parts.popleft().file.close()
            self._spool = None if self._spool is part else self._spool
        return sent

    def _put_aside(self) -> None:
        """Move the buffer into a file. Raises ConnectionAbortedError, which ends the response, if the disk is full."""
        data = b"".join(self._pieces)
        try:
            if self._spool is None:
                self._spool = Part(tempfile.TemporaryFile(), 0, 0)  # noqa: SIM115 - closed once it is sent
                self._parts.append(self._spool)
            self._spool.file.write(data)
            self._spool.file.flush()
        except OSError as error:
            raise ConnectionAbortedError(f"no disk space to buffer a response for a slow client: {error}") from error
        self._spool.end += len(data)
        self._pieces, self._collected = [], 0

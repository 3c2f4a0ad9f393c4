"""An answer on its way: a thread writes it down, and the loop sends what the client does not take at once."""

import os
import socket
import tempfile
from collections import deque
from typing import IO

#: Bytes that are collected before some are sent, and that are kept in memory of what the client does not take.
_PIECE = 64 * 1024
#: Bytes that are sent before others have their turn.
_MOST = 1024 * 1024


class Part:
    """A part of a file, which is read where it is sent."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self.file = file
        self.start = start
        self.end = end


class Outgoing:
    """Stands in for the socket while a thread answers, so that no client holds a thread by reading slowly."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        #: Whether there is anything of an answer: another one can't take its place.
        self.has_begun = False
        self._pieces: list[bytes] = []
        self._collected = 0
        #: What is sent before `_pieces`: files of the answer, and a temporary one of what is too much for memory.
        self._parts: deque[Part] = deque()
        self._spool: Part | None = None

    @property
    def is_empty(self) -> bool:
        return not self._pieces and not self._parts

    def sendall(self, data: bytes) -> None:
        self.has_begun = True
        self._pieces.append(data)
        self._collected += len(data)
        if self._collected > _PIECE:
            self.flush()
            if self._collected > _PIECE:
                self._put_aside()

    def sendfile(self, file: IO[bytes], offset: int, count: int) -> None:
        """Send a part of a file, as gunicorn asks for it. The file may be closed before that."""
        if self._pieces:
            self._put_aside()
        self._spool = None
        own = os.fdopen(os.dup(file.fileno()), "rb", buffering=0)
        self._parts.append(Part(own, offset, offset + count))

    def flush(self) -> int:
        """Send what the client takes now; return how much. Raises OSError when it takes nothing any more."""
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
        return total

    def close(self) -> None:
        for part in self._parts:
            part.file.close()
        self._parts.clear()

    def shutdown(self, _how: int) -> None:
        """Say to gunicorn, which ends broken answers itself, that this is done elsewhere."""
        raise OSError

    def _send_part(self, part: Part) -> int:
        data = os.pread(part.file.fileno(), min(_PIECE, part.end - part.start), part.start)
        if not data:
            raise ConnectionAbortedError("a file has become shorter while it was sent")
        sent = self._sock.send(data)
        part.start += sent
        if part.start == part.end:
            self._parts.popleft().file.close()
            self._spool = None if self._spool is part else self._spool
        return sent

    def _put_aside(self) -> None:
        """Move what is collected into a file. Raises ConnectionAbortedError when there is no room: the answer ends."""
        data = b"".join(self._pieces)
        try:
            if self._spool is None:
                self._spool = Part(tempfile.TemporaryFile(), 0, 0)  # noqa: SIM115 - closed once it is sent
                self._parts.append(self._spool)
            self._spool.file.write(data)
            self._spool.file.flush()
        except OSError as error:
            raise ConnectionAbortedError(f"no room for an answer that is read slowly: {error}") from error
        self._spool.end += len(data)
        self._pieces, self._collected = [], 0

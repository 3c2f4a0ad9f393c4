"""The pipe pair between the supervisor and one child: a pair of stream sockets, a message behind its length.

A stream, so that the supervisor reads with one call what a child has said of many jobs. A child that dies within a
message leaves an unfinished one, which is dropped: never half a result.

A child's end may have several speakers: a handler's threads, processes that it has forked, each stopped by a signal at
any time. So a child says what is long in pieces, each short enough that the kernel takes it whole or not at all, and
what another one says may come between them.
"""

import os
import socket
from collections import deque
from struct import Struct

#: Where bytes are read to, as many at once, for all channels: a new place each time costs more than to read.
_SPACE = memoryview(bytearray(64 * 1024))
#: Bytes that a child says in one piece. Linux takes twice as many as one.
PIECE = 16 * 1024
#: Jobs that a child may have in its hands, at most.
DEEPEST = 128
#: Bytes of a message to a child, at most.
LONGEST = 2**28
#: Set in the length of a piece that others follow, and in that of the last one.
_MORE, _LAST = 2**30, 2**31
#: Stands for what came instead of a message: nothing can be read from it.
NONSENSE = b""
_LENGTH = Struct("<I")


def _framed(message: bytes, flag: int = 0) -> bytes:
    return _LENGTH.pack(len(message) | flag) + message


def _pieces(message: bytes) -> list[bytes]:
    if len(message) <= PIECE:
        return [_framed(message)]
    *some, last = [message[at : at + PIECE] for at in range(0, len(message), PIECE)]
    return [*(_framed(each, _MORE) for each in some), _framed(last, _LAST)]


class Messages:
    """Cuts a stream into messages. What says that it is longer than `longest` bytes is no length."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        #: The beginning of the next message, and how many bytes are missing before more can be told.
        self._beginning: list[bytes] = []
        self._missing = _LENGTH.size
        #: Of a message that was said in pieces.
        self._said: list[bytes] = []

    def split(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole with these further bytes."""
        if len(data) < self._missing:
            self._beginning.append(data)
            self._missing -= len(data)
            return []
        if self._beginning:
            data = b"".join([*self._beginning, data])
            self._beginning.clear()
        messages, at, length = [], 0, len(data)
        while True:
            begin = at + _LENGTH.size
            if begin > length:
                self._missing = begin - length
                break
            (size,) = _LENGTH.unpack_from(data, at)
            flag = 0
            if size > self._longest:
                flag, size = size & (_MORE | _LAST), size & (_MORE - 1)
                if not flag or size > self._longest:
                    messages.append(NONSENSE)
                    return messages
            end = begin + size
            if end > length:
                self._missing = end - length
                break
            if flag:
                self._take_piece(data[begin:end], flag, messages)
            else:
                messages.append(data[begin:end])
            at = end
        if at < length:
            self._beginning.append(data[at:])
        return messages

    def _take_piece(self, piece: bytes, flag: int, messages: list[bytes]) -> None:
        self._said.append(piece)
        if flag == _LAST:
            messages.append(b"".join(self._said))
            self._said.clear()


class ChildEnd:
    """The child's end: blocking."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._messages = Messages(LONGEST)
        self._received: deque[bytes] = deque()
        self._identity = self._identify()

    def fileno(self) -> int:
        return self._socket.fileno()

    def is_whole(self) -> bool:
        """Return whether the descriptor still leads to the supervisor: a handler may have closed it, or opened a file
        of its own in its place."""
        try:
            return self._identify() == self._identity
        except OSError:
            return False

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self._socket.fileno())
        return status.st_dev, status.st_ino

    def receive(self) -> bytes | None:
        """Return the next message, None when the supervisor is gone or closes."""
        while not self._received:
            size = self._socket.recv_into(_SPACE)
            if not size:
                return None
            self._received.extend(self._messages.split(bytes(_SPACE[:size])))
        return self._received.popleft()

    def send(self, message: bytes) -> None:
        for piece in _pieces(message):
            self._socket.sendall(piece)


class SupervisorEnd:
    """The supervisor's end: never blocks; what the child can't take yet waits in `outbox`."""

    def __init__(self) -> None:
        self._socket, self._child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self.outbox: deque[bytes | memoryview] = deque()
        self._messages = Messages(PIECE)

    def child_fileno(self) -> int:
        """Return the descriptor of the other end, for a child that is not forked."""
        return self._child_socket.fileno()

    def child_end(self) -> ChildEnd:
        """Return the other end, for the child after the fork."""
        return ChildEnd(self._child_socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        self.outbox.append(_framed(message))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the child's buffer takes it."""
        while self.outbox:
            first = self.outbox[0]
            try:
                sent = self._socket.send(first)
            except BlockingIOError:
                return
            except OSError:
                # The child is dead: whoever reaps it looks after its jobs.
                self.outbox.clear()
                return
            if sent < len(first):
                self.outbox[0] = memoryview(first)[sent:]
            else:
                self.outbox.popleft()

    def receive(self) -> list[bytes]:
        """Return the messages that are there as a whole."""
        messages: list[bytes] = []
        while True:
            try:
                size = self._socket.recv_into(_SPACE)
            except OSError:
                return messages
            if size:
                messages += self._messages.split(bytes(_SPACE[:size]))
            if size < len(_SPACE):
                return messages

    def descriptors(self) -> tuple[int, int]:
        """Return what another child must not inherit."""
        return self._socket.fileno(), self._child_socket.fileno()

    def hang_up(self) -> None:
        """Tell the child that nothing more comes."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        self._child_socket.close()

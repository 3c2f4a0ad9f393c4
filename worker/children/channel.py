"""The channel between the supervisor and a child: a pair of stream sockets, with length-prefixed messages.

A stream, so that the supervisor reads many messages of a child with one call. A child that dies within a message leaves
an unfinished one, which is dropped: never half a result.

A child's end may have several writers: threads of a handler and processes that it has forked, each of which may be
stopped by a signal at any time. So long messages are written in chunks, each short enough that the kernel accepts it
completely or not at all, and chunks of other writers may be interleaved.
"""

import os
import socket
from collections import deque
from struct import Struct

#: The read buffer for all channels: allocating a new one each time costs more than reading.
_SPACE = memoryview(bytearray(64 * 1024))
#: Maximum bytes of a chunk. Linux accepts twice as many atomically.
PIECE = 16 * 1024
#: Maximum number of jobs of a child, including queued ones.
DEEPEST = 128
#: Maximum bytes of a message to a child.
LONGEST = 2**28
#: Flags in the length of a chunk that others follow, and of the last one.
_MORE, _LAST = 2**30, 2**31
#: Returned in place of an invalid message, after which the stream can't be parsed.
NONSENSE = b""
_LENGTH = Struct("<I")


def _framed(message: bytes, flag: int = 0) -> bytes:
    return _LENGTH.pack(len(message) | flag) + message


def _pieces(message: bytes) -> list[bytes]:
    *some, last = [message[at : at + PIECE] for at in range(0, len(message), PIECE)]
    return [*(_framed(each, _MORE) for each in some), _framed(last, _LAST)]


class Messages:
    """Splits a stream into messages. Lengths above `longest` bytes are invalid."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        #: The start of the next message, and how many bytes are needed to continue.
        self._beginning: list[bytes] = []
        self._missing = _LENGTH.size
        #: Chunks of a message.
        self._said: list[bytes] = []

    def split(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete."""
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
        """Return the next message, None if the supervisor has died or closed the channel."""
        while not self._received:
            size = self._socket.recv_into(_SPACE)
            if not size:
                return None
            self._received.extend(self._messages.split(bytes(_SPACE[:size])))
        return self._received.popleft()

    def send(self, message: bytes) -> None:
        if len(message) <= PIECE:
            # As nearly all are.
            self._socket.sendall(_framed(message))
            return
        for piece in _pieces(message):
            self._socket.sendall(piece)


class SupervisorEnd:
    """The supervisor's end: never blocks; unsent bytes are queued in `outbox`."""

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
        """Send queued bytes, as far as the child's buffer accepts them."""
        while self.outbox:
            first = self.outbox[0]
            try:
                sent = self._socket.send(first)
            except BlockingIOError:
                return
            except OSError:
                # The child is dead: its jobs are handled when it is reaped.
                self.outbox.clear()
                return
            if sent < len(first):
                self.outbox[0] = memoryview(first)[sent:]
            else:
                self.outbox.popleft()

    def receive(self) -> list[bytes]:
        """Return the complete messages."""
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
        """Return the descriptors that other children must not inherit."""
        return self._socket.fileno(), self._child_socket.fileno()

    def hang_up(self) -> None:
        """Close the sending side, which makes the child exit."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        self._child_socket.close()

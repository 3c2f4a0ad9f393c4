"""The pipe pair between the supervisor and one child: a socket pair that keeps message boundaries.

A message is one packet, or several when it is large: each begins with a byte that says whether more
follow. A child that dies within a message leaves an unfinished one, which is dropped: never half a result.
"""

import socket
from collections import deque

#: Bytes of a packet; the kernel's default socket buffer holds a few of them.
PACKET = 32 * 1024
_LAST, _MORE = b"\x00", b"\x01"


def _packets(message: bytes) -> list[bytes]:
    if len(message) < PACKET:
        return [_LAST + message]
    pieces = [message[at : at + PACKET] for at in range(0, len(message), PACKET)]
    return [*(_MORE + piece for piece in pieces[:-1]), _LAST + pieces[-1]]


class ChildEnd:
    """The child's end: blocking."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """Return the next message, None when the supervisor is gone or closes."""
        parts: list[bytes] = []
        while True:
            packet = self._socket.recv(PACKET + 1)
            if not packet:
                return None
            if packet[0] == 0:
                return b"".join([*parts, packet[1:]]) if parts else packet[1:]
            parts.append(packet[1:])

    def send(self, message: bytes) -> None:
        if len(message) < PACKET:
            self._socket.send(_LAST + message)
            return
        for packet in _packets(message):
            self._socket.send(packet)


class SupervisorEnd:
    """The supervisor's end: never blocks; what the child can't take yet waits in `outbox`."""

    def __init__(self) -> None:
        self._socket, self._child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self.outbox: deque[bytes] = deque()
        self._parts: list[bytes] = []

    def child_end(self) -> ChildEnd:
        """Return the other end, for the child after the fork."""
        return ChildEnd(self._child_socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        self.outbox.extend(_packets(message))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the child's buffer takes it."""
        while self.outbox:
            try:
                self._socket.send(self.outbox[0])
            except BlockingIOError:
                return
            except OSError:
                # The child is dead: whoever reaps it looks after its jobs.
                self.outbox.clear()
                return
            self.outbox.popleft()

    def receive(self) -> bytes | None:
        """Return the next whole message, None when there is none now."""
        while True:
            try:
                packet = self._socket.recv(PACKET + 1)
            except OSError:
                return None
            if not packet:
                return None
            if packet[0] == 0:
                message = b"".join([*self._parts, packet[1:]]) if self._parts else packet[1:]
                self._parts.clear()
                return message
            self._parts.append(packet[1:])

    def descriptors(self) -> tuple[int, int]:
        """Return what another child must not inherit."""
        return self._socket.fileno(), self._child_socket.fileno()

    def hang_up(self) -> None:
        """Tell the child that nothing more comes."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        self._child_socket.close()

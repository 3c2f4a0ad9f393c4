"""Posts a body repeatedly on several persistent connections, one request at a time on each, and counts responses.

`python -m benchmarks.load PORT PATH SECONDS CONNECTIONS < body` prints the responses per second.
"""

import selectors
import socket
import sys
import time

CONNECTIONS = 16
#: Timeout for the first response, in seconds: a server may listen before its processes have loaded the application.
PATIENCE = 120.0


class Line:
    """One connection."""

    def __init__(self, port: int, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self) -> None:
        self.socket.sendall(self._request)

    def answered(self) -> bool:
        """Read; return whether a response is complete. Raises RuntimeError unless it is a 201."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the API closed a connection")
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return False
        if b" 201 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{head.splitlines()[0]!r}: {body[:200]!r}")
        self._rest = b""
        return True


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def request(path: str, body: bytes) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
        f"Content-Length: {len(body)}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + body


def rate(port: int, path: str, body: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    """Return the responses per second, in a longer time if there is none within `seconds`."""
    selector = selectors.DefaultSelector()
    lines = [Line(port, request(path, body)) for _ in range(connections)]
    for line in lines:
        selector.register(line, selectors.EVENT_READ)
        line.ask()
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds or not count:
        if passed > seconds + PATIENCE:
            raise RuntimeError(f"no response within {passed:.0f} s")
        for key, _ in selector.select(1.0):
            line = key.fileobj
            assert isinstance(line, Line)
            if line.answered():
                count += 1
                line.ask()
    for line in lines:
        line.socket.close()
    return count / passed


if __name__ == "__main__":
    print(rate(int(sys.argv[1]), sys.argv[2], sys.stdin.buffer.read(), float(sys.argv[3]), int(sys.argv[4])))

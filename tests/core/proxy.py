"""A proxy on a unix socket that loses replies on demand. It knows bytes, not what they mean."""

import select
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path


class Proxy:
    """Stands before a server's unix socket, in a thread for each connection. A context manager.

    What becomes of the next exchanges is queued: `cut(k)`, `drop()`, `answer(text)`, `delay(seconds)`, `hold()`. One
    exchange is what a client sends at once and the server's answer to it. Nothing queued: all passes.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._folder = tempfile.mkdtemp(prefix="gopher-proxy-")
        self._plans: deque[tuple[str, object]] = deque()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/proxy.sock")
        self._listener.listen()
        #: While set, no connection is served and every one ends at once.
        self.away = False
        #: How many connections were made, and what was sent over them.
        self.connections = 0
        self.sent: list[bytes] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        return f"unix://{self._folder}/proxy.sock"

    def cut(self, size: int) -> None:
        """Let the next reply through up to `size` bytes, then end the connection. The server has done its part."""
        self._plans.append(("cut", size))

    def drop(self) -> None:
        """End the connection before the server hears of what comes next."""
        self._plans.append(("drop", None))

    def answer(self, text: str) -> None:
        """Answer what comes next without asking the server, e.g. `-LOADING ...`."""
        self._plans.append(("answer", text.encode() + b"\r\n"))

    def delay(self, seconds: float) -> None:
        """Let the next reply come late."""
        self._plans.append(("delay", seconds))

    def hold(self) -> threading.Event:
        """Keep the next reply back until the event is set."""
        event = threading.Event()
        self._plans.append(("hold", event))
        return event

    def leave(self) -> None:
        """End all connections, and make no new one."""
        self.away = True
        self.hang_up()

    def hang_up(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *exc: object) -> None:
        self.away = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.away:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._sockets += [client, server]
            thread = threading.Thread(target=self._serve, args=(client, server), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            self._relay(client, server)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        what, value = "pass", None
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(1 << 20)
                if not data:
                    return
                if ready is client:
                    self.sent.append(data)
                    what, value = self._plans.popleft() if self._plans else ("pass", None)
                    if what == "drop":
                        return
                    if what == "answer":
                        client.sendall(value)
                    else:
                        server.sendall(data)
                    continue
                if what == "delay":
                    time.sleep(value)
                if what == "hold":
                    value.wait(60)
                client.sendall(data[:value] if what == "cut" else data)
                if what == "cut":
                    return
                what = "pass"

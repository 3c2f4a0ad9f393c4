"""A sentinel that says what a test wants, for what a real one says only at bad moments."""

import socketserver
import threading
from contextlib import suppress

import hiredis

Address = tuple[str, int]


class Sentinel:
    """Names a master with an epoch, and publishes events. A context manager."""

    def __init__(self, master: Address, epoch: int = 1) -> None:
        self.master, self.epoch = master, epoch
        #: Whether it takes questions and does not reply.
        self.is_mute = False
        self.questions = 0
        self._subscribers: list[socketserver.StreamRequestHandler] = []
        sentinel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                reader = hiredis.Reader()
                while data := self.request.recv(65536):
                    reader.feed(data)
                    while (words := reader.gets()) is not False:
                        sentinel._answer(self, words)

        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.address: Address = self._server.server_address
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "Sentinel":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def publish(self, channel: str, text: str) -> None:
        for each in self._subscribers:
            with suppress(OSError):
                each.wfile.write(_packed(["message", channel, text]))

    def _answer(self, client: socketserver.StreamRequestHandler, words: list[bytes]) -> None:
        if words[0] == b"SUBSCRIBE":
            self._subscribers.append(client)
            client.wfile.write(b"".join(_packed(["subscribe", each.decode(), "1"]) for each in words[1:]))
        elif not self.is_mute and words[1] == b"GET-MASTER-ADDR-BY-NAME":
            self.questions += 1
            client.wfile.write(_packed([self.master[0], str(self.master[1])]))
        elif not self.is_mute:
            client.wfile.write(_packed(["name", "mymaster", "config-epoch", str(self.epoch)]))


def _packed(words: list[str]) -> bytes:
    return hiredis.pack_command(tuple(words))

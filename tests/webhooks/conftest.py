"""Receivers of webhooks as real HTTP servers, with workers and schedulers as real processes."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from gopher.client import Client
from tests.helpers import wait_until
from tests.worker.conftest import client, start_scheduler, start_worker, started

__all__ = ["client", "start_scheduler", "start_worker", "started"]


@dataclass
class Received:
    """A message as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)["data"]

    @property
    def event(self) -> str:
        return msgspec.json.decode(self.body)["type"]

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the message if the independent library accepts its signature; else it raises."""
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[["Request"], None]


@dataclass
class Receiver:
    """A receiver on loopback. `answer` responds to each request; what it accepts with 200 is in `messages`."""

    port: int
    answer: Answer
    #: All requests, also those that were not accepted.
    requests: list[Received] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    #: Ends what keeps quiet.
    quiet: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/hooks?token=private"

    def wait_for(self, count: int = 1) -> list[Received]:
        wait_until(lambda: len(self.messages) >= count, 60, f"{count} messages")
        return self.messages


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    daemon_threads = True


class Request(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(headers, self.rfile.read(int(headers["content-length"])))
        self.server.receiver.requests.append(received)
        self.received = received
        self.server.receiver.answer(self)

    def accept(self) -> None:
        self.server.receiver.messages.append(self.received)
        self.reply(200)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def start_receiver() -> Iterator[Callable[..., Receiver]]:
    servers = []

    def start(answer: Answer = Request.accept) -> Receiver:
        server = _Server(("127.0.0.1", 0), Request)
        server.receiver = Receiver(server.server_address[1], answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server.receiver

    yield start
    for server in servers:
        server.receiver.quiet.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(start_receiver) -> Receiver:
    return start_receiver()


#: What lets messages reach receivers on loopback, and makes retries short. A timeout, or a lease, that a busy machine
#: outlasts would have a message sent twice.
QUICK = {
    "GOPHER_WEBHOOKS_ALLOW": "127.0.0.0/8",
    "GOPHER_WEBHOOKS_BACKOFF": "50ms,50ms,50ms",
    "GOPHER_WEBHOOKS_TIMEOUT": "30s",
    "WORKER_LEASE": "15s",
    "WORKER_POLL_INTERVAL": "1s",
}


@pytest.fixture
def deliver(start_worker, start_scheduler) -> Callable[..., None]:
    """Start a worker for the queue `default` only, and a scheduler."""

    def start(**settings: str) -> None:
        every = {**QUICK, **settings}
        start_scheduler(**every)
        start_worker(**every)

    return start


def secret_of(client: Client) -> str:
    return client.webhooks.secret()

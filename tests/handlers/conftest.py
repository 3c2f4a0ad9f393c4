"""What the tests of the shipped handlers run against: a folder, a web server and a mail server, all real."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller

import gopher.handlers  # noqa: F401 - registers them
from gopher.files.job_files import StoredJobFiles
from gopher.jobs.handlers import registry
from gopher.jobs.job import Job, Reporter, new_job_id


class Recorder(Reporter):
    """Keeps what a handler reported."""

    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.lines: list[str] = []

    def progress(self, fraction: float, message: str) -> None:
        self.fractions.append(fraction)

    def log(self, line: str) -> None:
        self.lines.append(line)


def run_handler(job_type: str, payload: dict[str, Any], job: Job | None = None) -> Any:
    """Run a handler the way a child does: payload from JSON, result to JSON and back."""
    handler = registry.require(job_type)
    decoded = handler.decode(msgspec.json.encode(payload))
    job = job or Job(id=new_job_id(), type=job_type)
    job.open_files = StoredJobFiles
    try:
        result = handler.function(job, decoded)
    finally:
        if job.opened is not None:
            job.opened.close()
    return msgspec.json.decode(msgspec.json.encode(result))


@pytest.fixture
def run() -> Callable[..., Any]:
    return run_handler


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GOPHER_FILES, empty, with something outside that must stay unread."""
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setenv("GOPHER_FILES", str(folder))
    return folder


@dataclass
class Site:
    """A web server on loopback. `pages` maps a path to what answers it: (status, headers, body)."""

    port: int
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    #: path -> what was PUT there: headers and body; and how many PUTs are answered with 503 before.
    received: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)
    failures: int = 0
    #: (path, Host header) of each request that came.
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Answer a path from now on, and return its URL."""
        self.pages[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
        return self.url(path)


class _Server(ThreadingHTTPServer):
    site: Site


class _Page(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.site.requests.append((self.path, self.headers["Host"]))
        status, headers, body = self.server.site.pages.get(self.path, (404, {}, b"not here"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client has seen enough

    def do_PUT(self) -> None:
        site, body = self.server.site, self.rfile.read(int(self.headers["Content-Length"]))
        site.requests.append((self.path, self.headers["Host"]))
        status, headers, _ = site.pages.get(self.path, (200, {}, b""))
        if site.failures:
            site.failures -= 1
            status = 503
        if status == 200:
            site.received[self.path] = (dict(self.headers), body)
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def serve_site(wrap: Callable[[Any], Any] | None = None) -> Iterator[Site]:
    """Run a site until the generator is closed; `wrap` may put TLS around its listening socket."""
    server = _Server(("127.0.0.1", 0), _Page)
    server.site = Site(server.server_address[1])
    if wrap:
        server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server that the guard refuses, as it does any on loopback."""
    yield from serve_site()


@pytest.fixture
def allowed_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A web server that GOPHER_FETCH_ALLOW lets through."""
    monkeypatch.setenv("GOPHER_FETCH_ALLOW", site.place)
    return site


@dataclass
class Mailbox:
    """A mail server. `answers` maps a recipient, or `DATA`, to the refusal it gets instead of an OK."""

    answers: dict[str, str] = field(default_factory=dict)
    #: (sender, recipients, bytes) of each message that was taken.
    messages: list[tuple[str, list[str], bytes]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        return "250 OK"

    def only_message(self) -> EmailMessage:
        from email import message_from_bytes, policy

        ((_, _, content),) = self.messages
        return message_from_bytes(content, policy=policy.default)


class _AnyPort(Controller):
    """Takes a free port, and knows which when it first calls itself."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server that SMTP_URL points to."""
    mailbox = Mailbox()
    controller = _AnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{controller.port}?from=robot@example.com")
        yield mailbox
    finally:
        controller.stop()

"""Processes of two releases on one server: any of API, worker and scheduler of either, exchanged one by one."""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import httpx

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.server.embedded import EmbeddedServer
from tests.faults.ledger import VARIABLE, Entry, read
from tests.helpers import free_ports, wait_until
from tests.topologies.release import release_before
from tests.topologies.stack import TIMEOUT
from tests.worker.processes import ROOT, Process

#: Names of the releases.
BEFORE, NOW = "before", "now"
QUEUES = ("default", "mail")


class Member:
    """One process of a fleet."""

    def __init__(self, part: str, release: str, process: Process, address: str) -> None:
        self.part, self.release, self.process = part, release, process
        #: Where an API listens.
        self.address = address


class Fleet:
    """A context manager. `parts` are pairs of part (app, worker, scheduler) and release."""

    def __init__(self, *parts: tuple[str, str], **environ: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-fleet-"))
        self.ledger = self.folder / "ledger"
        self.server = EmbeddedServer(self.folder / "server")
        self.members: list[Member] = []
        self.client: Client
        # The release before must not find this one on its path, only the handlers of the tests.
        self._handlers = self.folder / "handlers"
        self._handlers.mkdir()
        (self._handlers / "tests").symlink_to(ROOT / "tests")
        self._parts = parts
        self._environ = {
            "GOPHER_HANDLERS": "tests.faults.handlers,gopher.handlers",
            "WORKER_QUEUES": ",".join(QUEUES),
            "WORKER_CONCURRENCY": "2",
            # Longer than a busy machine pauses: the job of a worker that seems to be lost runs twice.
            "WORKER_LEASE": "20s",
            "WORKER_SHUTDOWN_TIMEOUT": "20s",
            "REDIS_TIMEOUT": f"{TIMEOUT}s",
            "LOG_FORMAT": "json",
            "SERVER_HOST": "127.0.0.1",
            "WEB_CONCURRENCY": "1",
            VARIABLE: str(self.ledger),
            **environ,
        }

    def __enter__(self) -> "Fleet":
        try:
            self.server.start()
            self.client = Client(settings=replace(Settings.for_client(self.server.url), redis_timeout=TIMEOUT))
            for part, release in self._parts:
                self.start(part, release)
            wait_until(self.is_complete, 120, "all processes to be there")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for member in self.members:
            member.process.destroy()
        if hasattr(self, "client"):
            self.client.close()
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environ_of(self, release: str) -> dict[str, str]:
        """Return the variables of a release's processes."""
        path = self._handlers if release == BEFORE else ROOT
        return {**self._environ, "REDIS_URL": self.server.url, "PYTHONPATH": str(path)}

    def start(self, part: str, release: str) -> Member:
        """Start one more process, without waiting for it."""
        (port,) = free_ports(1)
        environ = {**self.environ_of(release), "SERVER_PORT": str(port)}
        process = Process(part, environ, self.folder, python=python_of(release))
        self.members.append(Member(part, release, process, f"http://127.0.0.1:{port}" if part == "app" else ""))
        return self.members[-1]

    def addresses(self, release: str = "") -> list[str]:
        """Return where the APIs are, those of a release if one is given."""
        return [each.address for each in self.members if each.address and release in ("", each.release)]

    def replace(self, member: Member, release: str) -> None:
        """Exchange a process: start the other one, and stop this one with SIGTERM once that is there."""
        self.start(member.part, release)
        wait_until(self.is_complete, 120, "the new process")
        # No client asks it any more.
        self.members.remove(member)
        assert member.process.stop(60) == 0

    def is_complete(self) -> bool:
        for member in self.members:
            assert member.process.running, f"the {member.part} has ended:\n{member.process.log}"
        try:
            answers = [httpx.get(f"{each}/health/ready", timeout=20).status_code for each in self.addresses()]
        except httpx.TransportError:
            return False
        workers, schedulers = (sum(each.part == part for each in self.members) for part in ("worker", "scheduler"))
        ready = len(self.client.workers()), self.client.inspector.schedulers()
        return set(answers) <= {200} and ready == (workers, schedulers)

    def events(self) -> list[Entry]:
        return read(self.ledger)

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def python_of(release: str) -> Path:
    return release_before() if release == BEFORE else Path(sys.executable)

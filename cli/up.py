"""`up`: runs server, API, worker and scheduler in one terminal, for development.

Ctrl-C drains: first the API stops, so that no new jobs are accepted; then worker and scheduler, so that running jobs
finish and their results are stored; the embedded server last. A second Ctrl-C kills what is left.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, GopherError
from gopher.server.embedded import EmbeddedServer

from .common import common, needs_server
from .http import Api, free_port, is_free, is_ready
from .output import Output, printable
from .processes import Interruptions, Process, Processes, gopherctl, interruptions

#: Where the embedded server keeps its data.
DATA_DIR = Path(".gopher")
#: A process that ends within this time (s) after the first start can't work at all.
START_PERIOD = 3.0
#: Time (s) after which it is reported what is not healthy yet.
PATIENCE = 20.0
#: Delay (s) before a crashed process is restarted: doubled with each consecutive crash, up to the cap.
RESTART_FIRST, RESTART_CAP = 1.0, 30.0
#: A process that has run for this long (s) has recovered.
STEADY = 60.0
#: Time (s) for shutdown in addition to the drain.
LEAVING = 5.0

NAMES = ("web", "worker", "scheduler")
_COLOURS = {"gopher": "green", "web": "blue", "worker": "magenta", "scheduler": "cyan"}
_FIRST_JOB = '{"type": "math", "payload": {"operation": "fibonacci", "number": 100}}'


class StartFailed(GopherError):
    """Raised when a process fails to start."""


@click.command()
@common
def up(out: Output) -> int:
    """Run server, API, worker and scheduler in one terminal until Ctrl-C.

    Without REDIS_URL, an embedded server is started with its data in ./.gopher/. Ctrl-C lets running jobs finish; a
    second Ctrl-C does not wait for them.
    """
    needs_server()
    with interruptions() as noted, _server() as server:
        settings = _settings(server)
        processes = Processes(_printer(out), _environ(settings, out))
        processes.watch(noted.descriptor)
        try:
            return Up(settings, server, processes, noted, out).run()
        finally:
            processes.close()


class Up:
    """One run of `gopherctl up`."""

    def __init__(
        self,
        settings: Settings,
        server: EmbeddedServer | None,
        processes: Processes,
        noted: Interruptions,
        out: Output,
    ) -> None:
        self._settings = settings
        self._server = server
        self._processes = processes
        self._noted = noted
        self._out = out
        self._api = Api(settings.server_host, settings.server_port)
        #: Name -> consecutive crashes, and when to restart it (time.monotonic()).
        self._crashes: dict[str, int] = {}
        self._restarts: dict[str, float] = {}

    def run(self) -> int:
        """Start everything, keep it running until interrupted, stop it in order. Return the exit code."""
        try:
            for name in NAMES:
                self._processes.start(name, gopherctl(name))
            self._wait_until_healthy()
            while not self._noted.count:
                self._tick()
        finally:
            self._stop()
        return 0

    def _wait_until_healthy(self) -> None:
        start, told = time.monotonic(), False
        while not self._noted.count:
            self._fail_if_ended(self._processes.pump(0.1))
            health = self._api.health()
            waited = time.monotonic() - start
            if waited > PATIENCE and not told:
                told = True
                self._say(f"not healthy after {PATIENCE:g} s: {json.dumps(health)}")
            if is_ready(health) or (waited > PATIENCE and health["status"] in ("healthy", "degraded")):
                self._welcome()
                break
        # Another program may respond on our port: then our own web process is about to fail.
        while not self._noted.count and time.monotonic() - start < START_PERIOD:
            self._fail_if_ended(self._processes.pump(0.1))

    def _fail_if_ended(self, ended: list[Process]) -> None:
        for process in ended:
            raise StartFailed(f"{process.name} {process.ending}; see its last lines above.")

    def _tick(self) -> None:
        if self._server and not self._server.running:
            self._say(f"the embedded server has ended: restarting it (log: {self._server.log_path})")
            self._server.start()
        for process in self._processes.pump(0.5):
            self._schedule_restart(process)
        for name, due in list(self._restarts.items()):
            if time.monotonic() >= due:
                del self._restarts[name]
                self._processes.start(name, gopherctl(name))

    def _schedule_restart(self, process: Process) -> None:
        if time.monotonic() - process.started > STEADY:
            self._crashes[process.name] = 0
        crashes = self._crashes[process.name] = self._crashes.get(process.name, 0) + 1
        delay = min(RESTART_FIRST * 2 ** (crashes - 1), RESTART_CAP)
        self._say(f"{process.name} {process.ending}: restarting it in {delay:g} s")
        self._restarts[process.name] = time.monotonic() + delay

    def _stop(self) -> None:
        """Stop everything in order; see the module's docstring."""
        asked = self._noted.count
        drain = self._settings.worker_shutdown_timeout + self._settings.worker_kill_grace + LEAVING
        for names, timeout in ((("web",), LEAVING + self._settings.server_write_timeout), (NAMES[1:], drain)):
            left = [process.name for process in self._processes.running(names)]
            if left:
                self._say(
                    f"stopping {' and '.join(left)}: waiting for running jobs; press Ctrl-C again to stop immediately"
                )
            self._processes.stop(left, timeout, hurry=lambda: self._noted.count > max(asked, 1))
        self._say("stopped")

    def _welcome(self) -> None:
        if self._out.data(
            {
                "url": self._api.url,
                "redis_url": str(self._settings.server_address),
                "pids": {process.name: process.popen.pid for process in self._processes.running()},
            }
        ):
            return
        self._say(f"to use gopherctl in another terminal: export REDIS_URL={self._settings.server_address}")
        key = "" if not self._settings.api_keys else " -H 'Authorization: Bearer <secret>'"
        self._say(f"ready: {self._api.url} (metrics at /metrics). Submit a first job:")
        self._say(f"  curl {self._api.url}/api/v1/jobs -H 'Content-Type: application/json'{key} -d '{_FIRST_JOB}'")

    def _say(self, text: str) -> None:
        _printer(self._out)("gopher", text)


@contextmanager
def _server() -> Iterator[EmbeddedServer | None]:
    """Start an embedded server, unless REDIS_URL is set."""
    if os.environ.get("REDIS_URL", "").strip():
        yield None
        return
    with EmbeddedServer(DATA_DIR) as server:
        yield server


def _settings(server: EmbeddedServer | None) -> Settings:
    """Return the settings of this run, with a concrete port."""
    if server:
        os.environ["REDIS_URL"] = server.url
        # Settings of some other server: ours has no password and uses database 0.
        for name in ("REDIS_PASSWORD", "REDIS_DB"):
            os.environ.pop(name, None)
    settings = Settings.from_env()
    if settings.server_port == 0:
        os.environ["SERVER_PORT"] = str(free_port(settings.server_host))
        os.environ.pop("PORT", None)
        os.environ["SERVER_HOST"] = settings.server_host
        return Settings.from_env()
    if not is_free(settings.server_host, settings.server_port):
        raise ConfigurationError(
            f"{settings.server_host}:{settings.server_port} is in use by another program: stop it, or choose "
            "another port with SERVER_PORT (0 picks a free one)"
        )
    return settings


def _environ(settings: Settings, out: Output) -> dict[str, str]:
    environ = dict(os.environ)
    if out.as_json:
        environ["LOG_FORMAT"] = "json"
    return environ


def _printer(out: Output) -> "Printer":
    return Printer(to_stderr=out.as_json)


class Printer:
    """Prints the lines of all processes, prefixed with the process's name."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr

    def __call__(self, name: str, line: str) -> None:
        prefix = click.style(f"{name:<9} |", fg=_COLOURS.get(name))
        click.echo(f"{prefix} {printable(line)}", err=self._to_stderr)

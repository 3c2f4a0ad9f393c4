"""`up`: runs server, API, worker and scheduler in one terminal, for development.

Ctrl-C drains: first the API stops, so that no new jobs are accepted; then worker and scheduler, so that running jobs
finish and their results are stored; the embedded server last. A second Ctrl-C kills what is left.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from gopher.base.installed import require
from gopher.base.pauses import doubled
from gopher.client import Client
from gopher.config.environment import given, override
from gopher.config.server_address import OVERRIDES
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, GopherError
from gopher.jobs.module_search import require_modules
from gopher.server.embedded import EmbeddedServer

from .common import common, needs_server
from .http import Api, free_port, is_free, is_ready
from .output import Output, printable
from .processes import Interruptions, Process, Processes, gopherctl, interruptions
from .reloading import FIRST_SECONDS, LEAVING, WAITS, Changes, drain, is_watcher, restart
from .running import HANDLERS, RELOAD
from .streams import discard_output

#: Where the embedded server keeps its data.
DATA_DIR = Path(".gopher")
#: Time (s) after which it is reported what is not healthy yet.
PATIENCE = 20.0
#: Time (s) after the start in which a process that ends can't work as it is.
START_PERIOD = 3.0
#: Delay (s) before a crashed process is restarted: doubled with each consecutive crash, up to the cap.
RESTART_FIRST, RESTART_CAP = 1.0, 30.0
#: A process that has run for this long (s) has recovered.
STEADY = 60.0

NAMES = ("web", "worker", "scheduler")
_COLOURS = {"gopher": "green", "web": "blue", "worker": "magenta", "scheduler": "cyan"}
#: The handlers that Gopher ships, of which the first job is one.
_SHIPPED = "gopher.handlers"
_FIRST_JOB = '{"type": "math", "payload": {"operation": "fibonacci", "number": 100}}'


class StartFailed(GopherError):
    """Raised when a process fails to start."""


@click.command()
@HANDLERS
@click.option("--no-web", is_flag=True, help="Don't run the API, for a project with a web process of its own.")
@RELOAD
@common
def up(out: Output, no_web: bool, reload: bool) -> int:
    """Run server, API, worker and scheduler in one terminal until Ctrl-C.

    Without REDIS_URL, an embedded server is started with its data in ./.gopher/. Ctrl-C lets running jobs finish; a
    second Ctrl-C does not wait for them.
    """
    if reload:
        require("dev", "--reload")
    if not _server_is_given():
        # Settings of some other server: ours has no password and uses database 0.
        for name in OVERRIDES:
            override(os.environ, name, "")
            override(os.environ, f"{name}_FILE", "")
    needs_server()
    if not no_web:
        require("web", "gopherctl up")
    with interruptions() as noted, _server() as server:
        settings = _settings(server, with_api=not no_web)
        require_modules(settings.handlers)
        changes = Changes(_printer(out))
        processes = Processes(changes, _environ(out))
        processes.watch(noted.descriptor)
        try:
            return Up(settings, server, processes, noted, out, not no_web, changes if reload else None).run()
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
        with_api: bool,
        changes: Changes | None,
    ) -> None:
        self._settings = settings
        self._server = server
        self._processes = processes
        self._noted = noted
        self._out = out
        self._names = NAMES if with_api else NAMES[1:]
        #: None without --reload.
        self._changes = changes
        self._api = None if not with_api else Api(settings.server_host, settings.server_port)
        #: Name -> consecutive crashes, and when to restart it (time.monotonic()).
        self._crashes: dict[str, int] = {}
        self._restarts: dict[str, float] = {}

    def run(self) -> int:
        """Start everything, keep it running until interrupted, stop it in order. Return the exit code."""
        try:
            if self._changes is not None:
                self._changes.watch(self._processes, self._settings.handlers)
            for name in self._names:
                self._start(name)
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
            health = self._health()
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

    def _health(self) -> dict[str, Any]:
        """Return what /health says; the server itself adds what the API tells only those with a key."""
        told = self._api.health() if self._api else {"status": "healthy"}
        if told["status"] == "starting" or "workers" in told:
            return told
        try:
            with Client(settings=self._settings, connections=1) as gopher:
                return {**told, "workers": gopher.health().workers}
        except GopherError:
            return told

    def _fail_if_ended(self, ended: list[Process]) -> None:
        for process in ended:
            raise StartFailed(f"{process.name} {process.ending}; see its last lines above.")

    def _tick(self) -> None:
        if self._server and not self._server.running:
            self._say(f"the embedded server has ended: restarting it (log: {self._server.log_path})")
            self._server.start()
        for process in self._processes.pump(0.5):
            if is_watcher(process) or self._waits_for_change(process):
                self._say(f"{process.name} {process.ending}" + ("" if is_watcher(process) else WAITS))
            else:
                self._schedule_restart(process)
        if self._changes is not None and (changed := self._changes.take()):
            self._say(f"{changed}: restarting {' and '.join(self._names)}; running jobs finish first")
            self._restarts.clear()
            restart(self._processes, self._names, drain(self._settings), self._noted, self._start)
        for name, due in list(self._restarts.items()):
            if time.monotonic() >= due:
                del self._restarts[name]
                self._start(name)

    def _start(self, name: str) -> None:
        self._processes.start(name, gopherctl(name))

    def _waits_for_change(self, process: Process) -> bool:
        """Return whether a process can't start with the code as it is."""
        return self._changes is not None and time.monotonic() - process.started < FIRST_SECONDS

    def _schedule_restart(self, process: Process) -> None:
        if time.monotonic() - process.started > STEADY:
            self._crashes[process.name] = 0
        crashes = self._crashes[process.name] = self._crashes.get(process.name, 0) + 1
        delay = doubled(RESTART_FIRST, crashes - 1, RESTART_CAP)
        self._say(f"{process.name} {process.ending}: restarting it in {delay:g} s")
        self._restarts[process.name] = time.monotonic() + delay

    def _stop(self) -> None:
        """Stop everything in order; see the module's docstring."""
        asked = self._noted.count
        api = LEAVING + self._settings.server_write_timeout
        for names, timeout in ((("web",), api), (NAMES[1:], drain(self._settings))):
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
                "url": self._api.url if self._api else None,
                "redis_url": str(self._settings.server_address),
                "pids": {process.name: process.popen.pid for process in self._processes.running(self._names)},
            }
        ):
            return
        self._say(f"to use gopherctl or Python in another terminal: export {self._exports()}")
        if self._api is None:
            self._say("ready")
            return
        key = "" if not self._settings.requires_api_key else " -H 'Authorization: Bearer <secret>'"
        if _SHIPPED not in self._settings.handlers:
            self._say(f"ready: {self._api.url} (dashboard at /dashboard). See your job types in another terminal:")
            self._say(f"  GOPHER_URL={self._api.url} gopherctl types")
            return
        self._say(f"ready: {self._api.url} (metrics at /metrics). Submit a first job:")
        self._say(f"  curl {self._api.url}/api/v1/jobs -H 'Content-Type: application/json'{key} -d '{_FIRST_JOB}'")

    def _exports(self) -> str:
        """Return the variables with which other programs use this server and know its job types."""
        handlers = ",".join(self._settings.handlers)
        types = "" if handlers == _SHIPPED else f" GOPHER_HANDLERS={handlers}"
        return f"REDIS_URL={self._settings.server_address}{types}"

    def _say(self, text: str) -> None:
        _printer(self._out)("gopher", text)


def _server_is_given() -> bool:
    return bool(given(os.environ, "REDIS_URL"))


@contextmanager
def _server() -> Iterator[EmbeddedServer | None]:
    """Start an embedded server, unless REDIS_URL is set."""
    if _server_is_given():
        yield None
        return
    with EmbeddedServer(DATA_DIR) as server:
        yield server


def _settings(server: EmbeddedServer | None, *, with_api: bool) -> Settings:
    """Return the settings of this run, with a concrete port."""
    if server:
        override(os.environ, "REDIS_URL", server.url)
    settings = Settings.from_env()
    if not with_api:
        return settings
    if settings.server_port == 0:
        override(os.environ, "PORT", "")
        override(os.environ, "SERVER_PORT", str(free_port(settings.server_host)))
        override(os.environ, "SERVER_HOST", settings.server_host)
        return Settings.from_env()
    if not is_free(settings.server_host, settings.server_port):
        raise ConfigurationError(
            f"{settings.server_host}:{settings.server_port} is in use by another program: stop it, or choose "
            "another port with SERVER_PORT (0 picks a free one)"
        )
    return settings


def _environ(out: Output) -> dict[str, str]:
    environ = dict(os.environ)
    if out.as_json:
        override(environ, "LOG_FORMAT", "json")
    return environ


def _printer(out: Output) -> "Printer":
    return Printer(to_stderr=out.as_json)


class Printer:
    """Prints the lines of all processes, prefixed with the process's name."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr

    def __call__(self, name: str, line: str) -> None:
        prefix = click.style(f"{name:<9} |", fg=_COLOURS.get(name))
        try:
            click.echo(f"{prefix} {printable(line)}", err=self._to_stderr)
        except OSError:
            # The reader has left (`gopherctl up | head`). As on Ctrl-C, running jobs finish; no more can be shown.
            discard_output(sys.stderr if self._to_stderr else sys.stdout)
            signal.raise_signal(signal.SIGTERM)

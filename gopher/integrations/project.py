"""Gopher within a project of a web framework: its settings, its client, and `gopherctl` with both."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import gopher
from gopher.client import Client
from gopher.config.environment import names_of
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from gopher.jobs.loading import load_handlers
from gopher.jobs.registry import Registry, registry
from gopher.tasks.default_client import submitting_by

#: Commands that run until they are stopped: this process becomes theirs, so that it gets their signals.
_PROCESSES = ("up", "web", "worker", "scheduler")


def environment(own: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment with a project's settings, which win over variables of the same name.

    Names are those of the variables, with or without `GOPHER_`; a value of None is ignored. Raises ConfigurationError
    for an unknown name.
    """
    known = {variable.name for variable in Settings.variables()}
    found = dict(os.environ if environ is None else environ)
    for name, value in own.items():
        full = name if name in known else f"GOPHER_{name}"
        if full not in known:
            raise ConfigurationError(f"GOPHER[{name!r}] is not a setting{_near(name, known)}")
        if value is None:
            continue
        # A prefixed name would win over it, as a file would.
        for other in (*names_of(full), *names_of(f"{full}_FILE")):
            found.pop(other, None)
        found[full] = _text(value)
    return found


def _near(name: str, known: set[str]) -> str:
    short = {each.removeprefix("GOPHER_") for each in known}
    near = get_close_matches(name, sorted(known | short), 1)
    return f": did you mean {near[0]!r}?" if near else ": docs/configuration.md lists them"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


def submit_tasks_by(client: Callable[[], Client]) -> None:
    """Have tasks submitted by a project's client."""
    gopher.configure(client)


class Project:
    """What a project says of Gopher, and its client.

    `load` is called once it is needed, and returns the settings and the modules with handlers.
    """

    def __init__(self, load: Callable[[], tuple[Mapping[str, Any], Sequence[str]]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._pid = 0
        self._replacements: list[Client] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Gopher's processes for this project."""
        own, modules = self._load()
        return environment({**own, "GOPHER_HANDLERS": modules} if modules else own)

    def check(self) -> None:
        """Raise ConfigurationError if the project's settings are invalid by themselves."""
        # Not those of the environment: a variable of the project may have a name that Gopher knows.
        Settings.from_env(environment(self._load()[0], {}))

    @property
    def client(self) -> Client:
        """A client of this process: a new one after a fork. It checks payloads by the project's handlers."""
        if self._replacements:
            return self._replacements[-1]
        client = self._client
        if client is None or self._pid != os.getpid():
            with self._lock:
                if self._client is None or self._pid != os.getpid():
                    self._client = Client(settings=Settings.from_env(self.environment), registry=self._registry())
                    self._pid = os.getpid()
                client = self._client
        return client

    def _registry(self) -> Registry | None:
        """Return the handlers of the project, None if it does not name any: then the worker checks payloads."""
        _, modules = self._load()
        if not set(modules) <= set(registry.modules):
            # Not in a worker, which has loaded them.
            load_handlers(modules)
        return registry if modules else None

    @contextmanager
    def replaced_by(self, client: Client) -> Iterator[Client]:
        """Use another client within the block, such as a test's EagerClient, with the handlers of the project."""
        self._registry()
        self._replacements.append(client)
        try:
            # Otherwise tasks would be submitted by the earlier client, or by this one after the block too.
            with submitting_by(client):
                yield client
        finally:
            self._replacements.remove(client)

    def gopherctl(self, arguments: Sequence[str], **variables: str) -> int:
        """Run `gopherctl`, which finds what this process can import; return its exit code."""
        paths = [os.path.abspath(path) for path in sys.path[:1]]
        environ = {**self.environment, **variables}
        environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [environ.get("PYTHONPATH")])])
        command = [sys.executable, "-P", "-m", "gopher.cli", *arguments]
        sys.stdout.flush()
        if arguments and arguments[0] in _PROCESSES:
            os.execve(sys.executable, command, environ)  # noqa: S606 - the user's own arguments
        return subprocess.run(command, env=environ, check=False).returncode

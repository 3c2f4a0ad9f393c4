"""Starts processes of Gopher by a fork of one that has imported it already: imports were most of what a start costs.

What comes out is what `python -m <module>` would be: a session of its own, its environment, folder and log, the
module as `__main__`, an interpreter that ends as usual. Variables that count before Gopher runs need a real start:
see `can_raise`.

APIs have a nursery of their own, which has imported Flask and gunicorn, too; workers shall not have these. `gopher.app`
replaces itself by gunicorn: there it becomes that without another start of Python.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gopher.base.build import fingerprint
from gopher.base.parent_death import die_with_parent

ROOT = Path(__file__).parents[2]
#: Prefixes of variables that are read at imports, or before; or in /proc/self/environ, which a fork has of its parent.
_EARLY = ("OTEL_", "PYTHON", "LD_", "MALLOC_", "LC_", "LANG", "WORKER_HIDE_ENV")
_NULL = Path(os.devnull)
_WRITE = os.O_WRONLY | os.O_APPEND | os.O_CREAT
#: Of standard input, output and errors.
_MODES = (os.O_RDONLY, _WRITE, _WRITE)
#: Modules of the API that import the library of its counters.
_COUNTING = {"factory", "metrics", "fleet", "server_metrics"}


def can_raise(environ: Mapping[str, str]) -> bool:
    """Return whether a process with these variables, beyond our own, can be a fork."""
    early = (name for name in environ if name != "PYTHONPATH" and name.startswith(_EARLY))
    return hasattr(os, "pidfd_open") and not any(early)


class Raised:
    """A process that the nursery has started; as `subprocess.Popen`."""

    def __init__(
        self,
        module: str,
        environ: Mapping[str, str],
        folder: Path,
        out: Path,
        *,
        arguments: Sequence[str] = (),
        stdin: Path = _NULL,
        err: Path | None = None,
        safe_path: bool = False,
    ) -> None:
        """Its standard output goes to `out`, and errors too, unless there is `err`. `safe_path` is Python's `-P`."""
        # As `-m` does: its folder, and what the variable says.
        path = [] if safe_path else [str(folder)]
        path += filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
        self._nursery = _nursery("web" if module == "gopher.app" else "core")
        self.pid: int = self._nursery.ask({
            "command": [module, *arguments],
            "environ": dict(environ),
            "path": path,
            "folder": str(folder),
            "streams": [str(stdin), str(out), str(err or out)],
        })  # fmt: skip
        # Its parent waits for it when we ask only: nobody else gets its pid before.
        self._death = os.pidfd_open(self.pid)
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._look(timeout) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self._code is None:
            waiting = select.poll()
            waiting.register(self._death, select.POLLIN)
            if waiting.poll(None if timeout is None else timeout * 1000):
                with self._lock:
                    self._bury()
        return self._code

    def _bury(self) -> None:
        if self._code is None:
            self._code = self._nursery.ask({"bury": self.pid})
            os.close(self._death)


class _Nursery:
    """Our end."""

    def __init__(self, kind: str) -> None:
        self._ours, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.worker.nursery", kind, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
            )
        self._answers = self._ours.makefile("rb")
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> int:
        with self._lock:
            self._ours.sendall(json.dumps(request).encode() + b"\n")
            return int(self._answers.readline())

    def close(self) -> None:
        self._answers.close()
        self._ours.close()
        self._popen.wait()


_started: dict[str, _Nursery] = {}
_starting = threading.Lock()


def _nursery(kind: str) -> _Nursery:
    with _starting:
        if kind not in _started:
            _started[kind] = _Nursery(kind)
        return _started[kind]


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork whenever a process is wanted; return in that process what it shall be."""
    requests = connection.makefile("rb")
    while line := requests.readline():
        request = json.loads(line)
        if "bury" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["bury"], 0)[1])
        else:
            # Here already: whoever has asked may look into them as soon as there is an answer.
            streams = [os.open(name, mode) for name, mode in zip(request["streams"], _MODES, strict=True)]
            if not (answer := os.fork()):
                requests.close()
                connection.close()
                return request | {"streams": streams}
            for stream in streams:
                os.close(stream)
        connection.sendall(b"%d\n" % answer)
    # The tests are over, or were killed: whatever is left dies with us.
    os._exit(0)


def _become(request: dict[str, Any], parent: int) -> None:
    os.setsid()
    die_with_parent(parent, signal.SIGKILL)
    os.chdir(request["folder"])
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    for name in ("stdout", "stderr"):
        if getattr(sys, name).isatty():
            # Ours may have been made for a file, in which a position is looked for.
            number = getattr(sys, name).fileno()
            setattr(sys, name, os.fdopen(number, "w", 1, "utf-8", closefd=False))
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.path[:2] = request["path"]
    if "GOPHER_CRASH_AT" in os.environ:
        from importlib import reload

        from gopher.server import crashpoints

        reload(crashpoints)


class _Replaced(BaseException):
    """A process has replaced itself by another module of Python: with its arguments."""


def _replace(program: str, command: Sequence[str]) -> NoReturn:
    """Do in the same process what `python -P -m <module>` would, which is all that Gopher replaces itself by."""
    assert [program, *command[1:3]] == [sys.executable, "-P", "-m"], command
    raise _Replaced(command[3:])


def _run(command: Sequence[str]) -> None:
    sys.argv[:] = command
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _import_app() -> None:
    """Import what an API's processes do, but for what reads variables or the folder: counters, gunicorn's settings."""
    from importlib import import_module
    from pkgutil import iter_modules

    import gopher.app

    import gopher.queue.preflight
    import gopher.telemetry.service_manager  # noqa: F401

    # Those that do something when they are imported, and those that import counters.
    left_out = {"__main__", "gunicorn_conf", "wsgi", *_COUNTING}
    for package in ("gopher.app", "gopher.app.dashboard"):
        for module in iter_modules(import_module(package).__path__):
            if module.name not in left_out:
                import_module(f"{package}.{module.name}")
    assert not {"prometheus_client", "gunicorn.config"} & sys.modules.keys()


def _import_core() -> None:
    """Import all commands, and what workers and schedulers do before they load handlers. (APIs are another program.)"""
    from importlib import import_module

    from gopher.cli.main import COMMANDS

    for module, _ in COMMANDS.values():
        import_module(f"gopher.cli.{module}")
    import gopher.scheduler.loop
    import gopher.worker.children.thread_pools
    import gopher.worker.children.watch
    import gopher.worker.environment
    import gopher.worker.supervisor

    import gopher.files.opening
    import gopher.jobs.loading
    import gopher.queue.preflight
    import gopher.telemetry.tracing  # noqa: F401


if __name__ == "__main__":
    {"core": _import_core, "web": _import_app}[sys.argv[1]]()
    # Of the same files for all of them.
    fingerprint()
    # Else each would copy all of it at its end, when Python looks for garbage a last time.
    gc.freeze()
    _pid = os.getpid()
    _request = _serve(socket.socket(fileno=int(sys.argv[2])))
    _become(_request, _pid)
    if sys.argv[1] == "web":
        os.execv = _replace
    try:
        _run(_request["command"])
    except _Replaced as _replaced:
        _request["command"] = _replaced.args[0]
    else:
        sys.exit()
    # Of `-P`: a module in its folder does not count any longer.
    sys.path[:] = [folder for folder in sys.path if folder != _request["folder"]]
    _run(_request["command"])

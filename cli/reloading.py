"""`--reload`: processes restart when a Python file changes. Running jobs finish first, or are requeued."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from gopher.base.installed import require
from gopher.config.settings import Settings
from gopher.jobs.module_search import folders_of, require_modules

from .common import needs_server
from .output import Output, printable
from .processes import Interruptions, OnLine, Process, Processes, gopherctl, interruptions

#: A process that ends within this time (s) after its start can't work as it is: on a busy machine, imports take seconds
#: before one fails.
FIRST_SECONDS = 15.0
#: Time (s) for shutdown in addition to the drain.
LEAVING = 5.0
#: Begins the watching process's lines that name a changed file; others are messages.
CHANGED = "changed: "
#: The name of the watching process.
_WATCHER = "watcher"


def drain(settings: Settings) -> float:
    """Return the seconds within which a stopping worker has ended."""
    return settings.worker_shutdown_timeout + settings.worker_kill_grace + LEAVING


class Changes:
    """Takes the lines of all processes; those of the watching one are changed files, which it collects."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._files: set[str] = set()

    def __call__(self, name: str, line: str) -> None:
        if name == _WATCHER and line.startswith(CHANGED):
            self._files.add(line.removeprefix(CHANGED))
        else:
            self._on_line(name, line)

    def watch(self, processes: Processes, modules: Iterable[str]) -> None:
        """Start to watch the current folder, and those of handler modules elsewhere."""
        here = Path.cwd()
        elsewhere = {folder for folder in folders_of(modules) if not folder.is_relative_to(here)}
        folders = [str(folder) for folder in (here, *sorted(elsewhere))]
        processes.start(_WATCHER, [sys.executable, "-P", "-m", "gopher.cli.watching", *folders])

    def take(self) -> str:
        """Return what has changed since the last call, for people; "" for nothing."""
        if not self._files:
            return ""
        first, *others = sorted(os.path.relpath(path) for path in self._files)
        self._files.clear()
        more = f" and {len(others)} more" if others else ""
        return f"{first}{more} changed"


def is_watcher(process: Process) -> bool:
    """Return whether a process is the watching one."""
    return process.name == _WATCHER


def restart(
    processes: Processes, names: Iterable[str], timeout: float, noted: Interruptions, start: Callable[[str], object]
) -> None:
    """Restart processes once their running jobs have finished; the API serves until its new processes do."""
    others = []
    for name in names:
        if name == "web" and processes.running([name]):
            processes.all[name].popen.send_signal(signal.SIGHUP)
        else:
            others.append(name)
    processes.stop(others, timeout, hurry=lambda: noted.count > 1)
    if not noted.count:
        for name in others:
            start(name)


def run_worker(out: Output) -> int:
    """Run a worker that is restarted when a Python file changes; return its exit code if it can't start."""
    needs_server()
    require("dev", "--reload")
    settings = Settings.from_env()
    require_modules(settings.handlers)
    if settings.worker_burst:
        raise click.UsageError("--burst ends a worker, and --reload keeps one running: use one of them.")
    environ = {**os.environ, **({"LOG_FORMAT": "json"} if out.as_json else {})}
    with interruptions() as noted:
        changes = Changes(lambda _, line: click.echo(printable(line), err=True))
        processes = Processes(changes, environ)
        processes.watch(noted.descriptor)
        try:
            return _Worker(settings, processes, changes, noted).run()
        finally:
            processes.close()


class _Worker:
    """A worker that is restarted when a file changes."""

    def __init__(self, settings: Settings, processes: Processes, changes: Changes, noted: Interruptions) -> None:
        self._settings = settings
        self._processes = processes
        self._changes = changes
        self._noted = noted
        self._reloaded = False

    def run(self) -> int:
        self._changes.watch(self._processes, self._settings.handlers)
        self._start("worker")
        while not self._noted.count:
            for process in self._processes.pump(0.5):
                if not self._reloaded and time.monotonic() - process.started < FIRST_SECONDS:
                    return process.popen.returncode or 1
                _say(f"{process.name} {process.ending}" + ("" if is_watcher(process) else WAITS))
            if changed := self._changes.take():
                _say(f"{changed}: restarting the worker; running jobs finish first")
                self._reloaded = True
                restart(self._processes, ["worker"], drain(self._settings), self._noted, self._start)
        self._processes.stop(["worker"], drain(self._settings), hurry=lambda: self._noted.count > 1)
        return 0

    def _start(self, name: str) -> None:
        self._processes.start(name, gopherctl(name))


#: Follows how a process has ended by itself.
WAITS = ": it starts again once a file changes"


def _say(text: str) -> None:
    click.echo(f"{click.style('reload:', fg='green')} {text}", err=True)

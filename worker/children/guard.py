"""Ends what is frozen when the supervisor has died: its children die with it, but not what they have started.

A stopped process would stay forever, with its files and locks. The kernel continues stopped process groups only when
they are orphaned, which they are not if their new parent belongs to the same session, as process 1 of a container may.
So this process holds one end of a pipe, and kills the groups that it was told of when the other end is closed.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from setproctitle import setproctitle

from gopher.telemetry.logs import get_logger

from . import system
from .fork import fork

log = get_logger("worker")

#: Seconds until it is started again after it has died, and that it gets to end.
_RETRY, _GRACE = 1.0, 2.0


class Guard:
    """The supervisor's side. Nothing may be frozen while it is not running."""

    def __init__(self, inherited: Callable[[], Iterable[int]]) -> None:
        self._inherited = inherited
        self._pid, self._writer = 0, -1
        self._start_at = 0.0
        #: What it was told, for its successor: of each frozen child, the stopped processes outside of its group.
        self._frozen: dict[int, list[int]] = {}

    @property
    def is_running(self) -> bool:
        return bool(self._pid)

    def maintain(self, now: float) -> None:
        """Start it unless it runs."""
        if not self._pid and now >= self._start_at:
            self._start(now)

    def freezing(self, pid: int, outside: list[int] | None = None) -> None:
        """Note that a child is being frozen, and then what is frozen with it."""
        self._frozen[pid] = outside or []
        self._tell(_line(pid, self._frozen[pid]))

    def continuing(self, pid: int) -> None:
        """Note that a child is not frozen any more."""
        if self._frozen.pop(pid, None) is not None:
            self._tell(b"-%d\n" % pid)

    def reaped(self, pid: int) -> None:
        """Note that a process has ended."""
        if pid == self._pid:
            log.warning("the process that guards frozen jobs was killed; it is started again", pid=pid)
            self._forget()

    def descriptors(self) -> list[int]:
        """Return what no child may inherit."""
        return [self._writer] if self._writer >= 0 else []

    def stop(self) -> None:
        """Let it end, and wait for that."""
        if not self._pid:
            return
        pid, until = self._pid, time.monotonic() + _GRACE
        self._forget()
        with suppress(ChildProcessError):
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() >= until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.001)

    def _start(self, now: float) -> None:
        try:
            self._pid, self._writer = self._fork()
        except OSError as error:
            self._start_at = now + _RETRY
            log.error("can't fork the process that guards frozen jobs", error=str(error))
            return
        for pid, outside in self._frozen.items():
            self._tell(_line(pid, outside))

    def _fork(self) -> tuple[int, int]:
        """Return its pid, and the end of the pipe that is closed when the supervisor dies. Raises OSError."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            return fork(lambda: _run(reader, [*self._inherited(), writer])), writer
        except OSError:
            os.close(writer)
            raise
        finally:
            os.close(reader)

    def _tell(self, line: bytes) -> None:
        if self._pid:
            try:
                os.write(self._writer, line)
            except OSError:
                # It hangs or has just died.
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)

    def _forget(self) -> None:
        os.close(self._writer)
        self._pid, self._writer, self._start_at = 0, -1, time.monotonic()


def _line(pid: int, outside: list[int]) -> bytes:
    return b"+" + b" ".join(b"%d" % each for each in (pid, *outside)) + b"\n"


def _run(reader: int, inherited: Iterable[int]) -> None:
    """Be the guard."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    # On some platforms all processes are told to end: the supervisor still freezes and continues children then.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for descriptor in inherited:
        os.close(descriptor)
    setproctitle(f"gopher: guard of {os.getppid()}")
    frozen: dict[int, list[int]] = {}
    with open(reader, encoding="ascii") as lines:
        for line in lines:
            pid, *outside = map(int, line[1:].split())
            if line.startswith("+"):
                frozen[pid] = outside
            else:
                frozen.pop(pid, None)
    for pid, outside in frozen.items():
        system.kill_group(pid)
        for each in outside:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGCONT)

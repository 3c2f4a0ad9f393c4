"""Stops a child with everything that it has started, and lets it continue.

One signal stops its process group. Processes that have left the group, for a session of their own say, are found as
its descendants, and stopped one by one. Those that a handler has stopped itself stay so.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from .system import signal_group

#: How often descendants are looked for: those that were not stopped yet may have started more.
_LOOKS = 5
_STOPPED = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})


class Frozen:
    """A stopped child; `since` is in monotonic seconds."""

    def __init__(self, pid: int, since: float) -> None:
        self.since = since
        self._pid = pid
        #: Stopped processes outside of its group, and those that were stopped before; psutil knows a reused pid.
        self._outside: list[psutil.Process] = []
        self._left_stopped: list[psutil.Process] = []

    @property
    def outside(self) -> list[int]:
        return [process.pid for process in self._outside]

    def stop(self) -> None:
        """Stop all of it."""
        self._left_stopped = [process for process in _processes(self._pid) if _is_stopped(process)]
        known = {process.pid for process in self._left_stopped}
        signal_group(self._pid, signal.SIGSTOP)
        for _ in range(_LOOKS):
            new = [each for each in _processes(self._pid) if each.pid not in known and not self._is_member(each)]
            if not new:
                return
            for process in new:
                known.add(process.pid)
                with suppress(psutil.Error):
                    process.suspend()
                    self._outside.append(process)

    def resume(self) -> None:
        """Let all of it continue, except for what was stopped before."""
        self.release()
        signal_group(self._pid, signal.SIGCONT)
        for process in self._left_stopped:
            with suppress(psutil.Error):
                process.suspend()

    def release(self) -> None:
        """Let all that is outside of its group continue."""
        for process in self._outside:
            with suppress(psutil.Error):
                process.resume()
        self._outside = []

    def _is_member(self, process: psutil.Process) -> bool:
        with suppress(ProcessLookupError, PermissionError):
            return os.getpgid(process.pid) == self._pid
        return True


def _is_stopped(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.status() in _STOPPED
    return False


def _processes(pid: int) -> Iterator[psutil.Process]:
    """Yield the living descendants of a process."""
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        # psutil reads all processes of the machine for that, which takes a while.
        with suppress(psutil.Error):
            yield from psutil.Process(pid).children(recursive=True)
        return
    left = [pid]
    while left:
        for child in _children(left.pop()):
            left.append(child)
            with suppress(psutil.Error):
                yield psutil.Process(child)


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found

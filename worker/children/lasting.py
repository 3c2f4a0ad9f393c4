"""Detects lasting changes of a job that can't be restored: its child then takes no other job, and is replaced."""

import os
import resource
import threading
import time
from contextlib import suppress
from glob import glob

from gopher.compat import helpers_of_multiprocessing, thread_counter

_count_threads = thread_counter()
#: Seconds that threads may take to end once their job is over.
PATIENCE = 0.05
#: Names or numbers that are listed at most.
_SHOWN = 5
LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
#: Whether there is a child process: a call that costs a microsecond, and no name of it.
_ANY_CHILD = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Lasting:
    """A child as it was before its first job."""

    def __init__(self) -> None:
        self._threads = _count_threads()
        self._known = set(threading.enumerate())
        self._ids = _ids()
        self._group = (os.getpgrp(), os.getsid(0))
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._cpus = _cpus()
        self._scheduler, self._root = _scheduler(), _root()
        self._hard = _hard_limits()
        #: Whether there was something to restore since the last look.
        self.restored = False
        self._children: set[int | None] = set(_child_pids()) if has_children() else set()

    def _started_threads(self) -> bool:
        return _count_threads() != self._threads

    def threads(self) -> tuple[int, set[threading.Thread]]:
        """Return how many threads there are, and those that Python knows."""
        return _count_threads(), set(threading.enumerate())

    def adopt_threads(self, number: int, before: set[threading.Thread]) -> None:
        """Accept threads that were started since there were `number` of them, those in `before`."""
        started = _count_threads() - number
        if started > 0:
            self._threads += started
            self._known.update(each for each in threading.enumerate() if each not in before)

    def restore(self) -> None:
        """Put back what may be put back by some users only, or not at all: a function was called that changes it."""
        self.restored = True
        if os.getpriority(os.PRIO_PROCESS, 0) != self._nice:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, self._nice)
        if self._cpus and _cpus() != self._cpus:
            with suppress(OSError):
                os.sched_setaffinity(0, self._cpus)
        if self._scheduler and _scheduler() != self._scheduler:
            with suppress(OSError):
                os.sched_setscheduler(0, self._scheduler[0], os.sched_param(self._scheduler[1]))

    def changes(self) -> str:
        """Return what has changed permanently; "" if nothing has."""
        changes = []
        if self._started_threads() and (threads := self._new_threads()):
            changes.append(f"threads left running: {_listed(threads)}")
        if has_children() and (processes := self._new_processes()):
            changes.append(f"processes left running: {_listed(processes)}")
        return "; ".join([*changes, *self._lost()])

    def _lost(self) -> list[str]:
        """Return which rights and other attributes of this process have changed."""
        if not self.restored:
            return []
        self.restored = False
        looks = (
            (_hard_limits() == self._hard, "hard resource limits were lowered"),
            (os.getpriority(os.PRIO_PROCESS, 0) == self._nice, "its niceness was raised"),
            (_cpus() == self._cpus, "its CPU affinity was changed"),
            (_scheduler() == self._scheduler, "its scheduling policy was changed"),
            (_root() == self._root, "its root folder was changed"),
            (_ids() == self._ids, "its user or group was changed"),
            ((os.getpgrp(), os.getsid(0)) == self._group, "its process group or session was changed"),
        )
        return [change for same, change in looks if not same]

    def _new_threads(self) -> list[str]:
        """Return the names of threads that do not end now."""
        until = time.monotonic() + PATIENCE
        while self._started_threads() and time.monotonic() < until:
            started = [each for each in threading.enumerate() if each not in self._known]
            if started:
                started[0].join(max(until - time.monotonic(), 0))
            else:
                time.sleep(0.001)
        if not self._started_threads():
            return []
        # Those that were started below `threading` have no name.
        return [each.name for each in threading.enumerate() if each not in self._known] or ["unnamed"]

    def _new_processes(self) -> list[str]:
        """Return the processes that run, but for helpers that `multiprocessing` keeps; reap those that have ended."""
        kept = self._children | helpers_of_multiprocessing()
        left = [pid for pid in _child_pids() if pid not in kept and not _reap(pid)]
        return [f"{_text(f'/proc/{pid}/comm').strip() or 'process'} {pid}" for pid in left]


def _reap(pid: int) -> bool:
    """Return whether a child has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def has_children() -> bool:
    """Return whether this process has children, alive or not waited for."""
    try:
        os.waitid(os.P_ALL, 0, _ANY_CHILD)
    except ChildProcessError:
        return False
    return True


def _child_pids() -> list[int]:
    """Return this process's children, those of all its threads."""
    files = glob(f"/proc/{os.getpid()}/task/*/children")
    if not files:
        import psutil

        return [process.pid for process in psutil.Process().children()]
    return [int(pid) for file in files for pid in _text(file).split()]


def _text(file: str) -> str:
    try:
        # The name of a process may be no text.
        with open(file, errors="replace") as opened:
            return opened.read()
    except OSError:
        # It was of a thread, or a process, that has ended.
        return ""


def _hard_limits() -> list[int]:
    return [resource.getrlimit(each)[1] for each in LIMITS]


def _ids() -> tuple[object, ...]:
    if hasattr(os, "getresuid"):
        return os.getresuid(), os.getresgid(), os.getgroups()
    return os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()


def _cpus() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _scheduler() -> tuple[int, int] | None:
    if not hasattr(os, "sched_getscheduler"):
        return None
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def _root() -> tuple[int, int]:
    status = os.stat("/")
    return status.st_dev, status.st_ino


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""Operating system services; unsupported ones are skipped."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gopher.errors import ConfigurationError

_PR_SET_NO_NEW_PRIVS = 38
#: Bytes.
_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class OomScore:
    """How the kernel is told to take this process, when memory runs out, before others.

    Processes that it starts inherit that, but for those that are started within `lowered`.
    """

    _FILE = "/proc/self/oom_score_adj"

    def __init__(self) -> None:
        self._before = ""
        with suppress(OSError), open(self._FILE) as file:
            self._before = file.read()
        self._is_raised = False

    def prefer_as_victim(self) -> None:
        self._is_raised = True
        self._write("500")

    def forget(self) -> None:
        """Undo it in a process that was forked from this one."""
        self._is_raised = False
        self._write(self._before)

    @contextmanager
    def lowered(self) -> Iterator[None]:
        if not self._is_raised:
            yield
            return
        self._write(self._before)
        try:
            yield
        finally:
            self._write("500")

    def _write(self, score: str) -> None:
        # Opened each time: a handler may have closed a descriptor that was kept, and have one of its own there.
        if self._before:
            with suppress(OSError), open(self._FILE, "w") as file:
                file.write(score)


def prefer_as_oom_victim() -> None:
    """Have the kernel take this process, when memory runs out, before others."""
    OomScore().prefer_as_victim()


def need_descriptors(count: int) -> None:
    """Raise the limit of open files if need be. Raises ConfigurationError if that is not permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigurationError(
            f"needs {count} open files, the limit is {hard}: raise it with ulimit -n, or lower WORKER_CONCURRENCY"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def refuse_new_privileges() -> None:
    """Have no program that this process or its descendants start gain privileges, such as `sudo` would."""
    if _libc is not None:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def limit_memory(limit: int) -> None:
    """Limit the address space of this process to `limit` bytes: larger allocations raise MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    try:
        return int(contents(f"/proc/{pid}/statm").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Return the most memory that a process has had resident, or one that it has waited for."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def contents(path: str) -> bytes:
    """Return what is in a file of the system's, up to 64 KiB: this takes less time than `open`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536)
    finally:
        os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """Return what a process has started, and what that has; nothing where the system does not tell."""
    family = [pid]
    for parent in family:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                # It grows while it is walked.
                family += map(int, contents(f"/proc/{parent}/task/{thread}/children").split())
    return family[1:]


def kill_group(pid: int) -> None:
    """Kill a child and all processes in its group."""
    signal_group(pid, signal.SIGKILL)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and all processes in its group. Raises ValueError for what can't be a child's id."""
    if pid <= 1:
        # killpg(1) means kill(-1): all processes of the machine.
        raise ValueError(f"{pid} is not the id of a child")
    # A handler may have put the child itself into another group.
    for send in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            send(pid, number)


def describe_exit(status: int) -> str:
    """Describe a wait status: `SIGSEGV`, `exit 0`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return signal.Signals(number).name
        except ValueError:
            return f"signal {number}"
    return f"exit {os.waitstatus_to_exitcode(status)}"

"""Variables of the environment that handlers must not see: removed before the first module of handlers is loaded.

A child is a fork of the supervisor, so it would see them in `os.environ` and in /proc/self/environ, which is the memory
that the process was started with; and in /proc/<parent>/environ as well.
"""

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress

#: No worker needs them.
ALWAYS = ("GOPHER_API_KEYS", "GOPHER_API_KEYS_FILE")


def hide(patterns: Iterable[str]) -> None:
    """Remove variables from the environment of this process and of those that it starts; `AWS_*` is a pattern."""
    hidden = [name for name in os.environb if _matches(os.fsdecode(name), [*ALWAYS, *patterns])]
    for name in hidden:
        del os.environb[name]
    if hidden:
        # Without /proc there is nothing that shows them.
        with suppress(OSError):
            _erase(set(hidden))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)


def _erase(names: set[bytes]) -> None:
    """Overwrite variables in the memory from which the kernel takes /proc/self/environ."""
    with open("/proc/self/stat", "rb") as file:
        # See proc_pid_stat(5). The name of the program may contain anything.
        fields = file.read().rpartition(b")")[2].split()
    at, end = int(fields[47]), int(fields[48])
    for entry in ctypes.string_at(at, end - at).split(b"\0"):
        if entry.partition(b"=")[0] in names:
            ctypes.memset(at, 0, len(entry))
        at += len(entry) + 1

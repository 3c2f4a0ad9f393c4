"""Proportional memory (PSS) of processes: what they share counts for each by its share, so that the sum is right.

The kernel walks all pages of a process for that: about a millisecond for each 50 MiB.
"""

import time
from collections.abc import Collection, Hashable
from typing import NamedTuple

from .system import contents

#: Seconds between two looks at a process, and the share of the time that looks may take.
_PAUSE, _SHARE = 5.0, 0.001


class _Look(NamedTuple):
    found: int | None
    #: What has changed if the process may have used more since.
    mark: Hashable
    next_at: float


class ProportionalMemory:
    """Looks at processes from time to time."""

    def __init__(self) -> None:
        self._looks: dict[int, _Look] = {}

    def of(self, pid: int, mark: Hashable) -> int | None:
        """Return the memory of a process in bytes, as of the last few seconds; None if the system does not tell.

        A process is not looked at again until `mark` is another one: an idle child uses what it used.
        """
        last = self._looks.get(pid)
        if last is not None and (last.mark == mark or time.monotonic() < last.next_at):
            return last.found
        began = time.thread_time()
        found = proportional_bytes(pid)
        pause = max(_PAUSE, (time.thread_time() - began) / _SHARE)
        self._looks[pid] = _Look(found, mark, time.monotonic() + pause)
        return found

    def forget_others(self, pids: Collection[int]) -> None:
        """Forget the processes that have ended."""
        self._looks = {pid: look for pid, look in self._looks.items() if pid in pids}


def proportional_bytes(pid: int, *, without_files: bool = False) -> int | None:
    """Return the proportional memory of a process, None if it has ended or the system does not tell.

    The kernel can drop what is mapped from files.
    """
    try:
        lines = [line.split() for line in contents(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith(b"Pss")]
        sizes = {name: int(size) * 1024 for name, size, *_ in lines}
        return sizes[b"Pss:"] - (sizes.get(b"Pss_File:", 0) if without_files else 0)
    except (OSError, KeyError, IndexError, ValueError):
        return None

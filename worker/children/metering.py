"""What an attempt has used: CPU time, and the most memory that its child had resident meanwhile.

Short attempts have no figures, so that they cost nothing: a no-op job takes a few microseconds, and asking the system
takes one. The figures before an attempt are read at its start unless they are recent, so those of an attempt may
include what shorter ones before it used within `_RECENT`.
"""

import os
import re
import time
from contextlib import suppress

# As long as it is the original: a call that is noted as the handler's has the whole state of the process checked.
from os import close
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from gopher.worker.messages import Usage

#: Attempts shorter than this (s) have no figures.
METERED = 0.005
#: Attempts shorter than this (s) have no peak of memory, for which the system is asked to forget an earlier one.
_METERED_MEMORY = 0.05
#: Seconds for which figures may be those before an attempt.
_RECENT = 0.001
#: KiB by which short attempts may raise the peak before it is reset.
_SLACK = 256
_HIGH_WATER = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


class Meter:
    """Reads what this process, and the processes that it started and has waited for, have used."""

    def __init__(self) -> None:
        #: Until when the last figures are those before an attempt (s).
        self.recent_until = float("-inf")
        self._own = getrusage(RUSAGE_SELF)
        self._others = getrusage(RUSAGE_CHILDREN)
        self._peak = _Peak()

    def begin(self, now: float) -> None:
        """Start to measure an attempt after `recent_until`; `now` is of `time.perf_counter`."""
        self._read(now)
        self._peak.begin(self._own.ru_maxrss)

    def usage(self, seconds: float) -> Usage:
        """Return what an attempt of at least METERED seconds, which has just ended, has used."""
        own, others = self._own, self._others
        self._read(time.perf_counter())
        peak = 0
        if seconds >= _METERED_MEMORY:
            # What the attempt frees only now must not count for the next one, however soon that begins.
            peak, self.recent_until = self._peak.end(), float("-inf")
        return Usage(
            user=self._own.ru_utime - own.ru_utime + self._others.ru_utime - others.ru_utime,
            system=self._own.ru_stime - own.ru_stime + self._others.ru_stime - others.ru_stime,
            peak=peak,
        )

    def _read(self, now: float) -> None:
        self.recent_until = now + _RECENT
        self._own, self._others = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)


class _Peak:
    """The most memory that this process has had resident since it was reset, where the system can reset it."""

    def __init__(self) -> None:
        self._is_supported = True
        self._is_outdated = True
        #: The peak (KiB) just after the last reset.
        self._after_reset = 0

    def begin(self, peak: int) -> None:
        """Reset it if an earlier attempt has raised it; `peak` is what it is (KiB)."""
        if self._is_supported and (self._is_outdated or peak > self._after_reset + _SLACK):
            self._reset()

    def end(self) -> int:
        """Return it in bytes, 0 if it is not known."""
        was_reset, self._is_outdated = not self._is_outdated, True
        if was_reset:
            with suppress(OSError), open("/proc/self/status", "rb") as file:
                found = _HIGH_WATER.search(file.read())
                return int(found[1]) * 1024 if found else 0
        return 0

    def _reset(self) -> None:
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"5")
            finally:
                close(descriptor)
        except (FileNotFoundError, PermissionError):
            self._is_supported = False
        except OSError:
            # Such as too many open files of the handler's: the next attempt tries again.
            self._is_outdated = True
        else:
            self._is_outdated, self._after_reset = False, getrusage(RUSAGE_SELF).ru_maxrss

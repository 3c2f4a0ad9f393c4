"""What one job may leave changed in its child, and the next one must not find: put back after each job.

Not everything can be: patched modules, threads, open files. Recycling (`WORKER_MAX_JOBS_PER_CHILD=1` if need be)
is for those.
"""

import faulthandler
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress

from gopher.compat import environment

from .child_signals import ChildSignals
from .streams import Streams
from .watch import watch

_LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
#: What `faulthandler.register` takes. Its handlers are below Python's, where `signal.getsignal` does not see them.
_REGISTRABLE = sorted(
    signal.valid_signals() - {signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL}
)


def report_crashes() -> None:
    """Have a crash of this process written to the job's log, with the place in the handler."""
    faulthandler.enable(file=2, all_threads=False)


class ProcessState:
    """Standard streams, signals, timers, limits, folder, umask, environment, time zone, and Python's own settings."""

    def __init__(self, streams: Streams, signals: ChildSignals) -> None:
        self._streams = streams
        self._signals = signals
        self._folder = _folder()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._os_environ = os.environ
        self._environ = dict(environment())
        self._timeout = socket.getdefaulttimeout()
        self._limits = {each: resource.getrlimit(each) for each in _LIMITS}
        self._recursion, self._trace, self._profile = sys.getrecursionlimit(), sys.gettrace(), sys.getprofile()

    def restore(self, *, thoroughly: bool) -> None:
        """Put back what was changed; `thoroughly` also what only C code may have changed unnoticed."""
        faulthandler.cancel_dump_traceback_later()
        if watch.called:
            thoroughly = True
            self._restore_interpreter()
            self._restore_limits()
        if thoroughly:
            # Timers first: they may end this process.
            self._signals.restore()
            self._restore_folder()
        self._streams.restore(thoroughly=thoroughly)
        os.environ = self._os_environ  # noqa: B003 - what it holds is put back below
        if environment() != self._environ:
            self._restore_environ()
        if socket.getdefaulttimeout() != self._timeout:
            socket.setdefaulttimeout(self._timeout)
        if thoroughly:
            # Only now: handlers of signals may have come in between.
            watch.forget()

    def _restore_interpreter(self) -> None:
        report_crashes()
        # One for the signal that interrupts a job would leave the next one to be killed.
        for number in _REGISTRABLE:
            faulthandler.unregister(number)
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        sys.setrecursionlimit(self._recursion)

    def _restore_limits(self) -> None:
        for each, limit in self._limits.items():
            if resource.getrlimit(each) != limit:
                # A hard limit is lowered for good, unless we are root.
                with suppress(ValueError, OSError):
                    resource.setrlimit(each, limit)

    def _restore_folder(self) -> None:
        os.umask(self._umask)
        if self._folder is not None and _folder() != self._folder:
            # A deploy may have deleted the folder meanwhile: there is nothing to go back to then.
            with suppress(OSError):
                os.chdir(self._folder)

    def _restore_environ(self) -> None:
        for name in [name for name in os.environb if name not in self._environ]:
            del os.environb[name]
        for name, value in self._environ.items():
            os.environb[name] = value
        # TZ may have been among them.
        time.tzset()


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None

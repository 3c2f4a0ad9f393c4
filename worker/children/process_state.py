"""Restores process state that a job may have changed in its child, after each job.

Not everything can be. What is seen of that (`lasting`) ends the child; what is not, such as patched modules, is a
matter of `WORKER_MAX_JOBS_PER_CHILD=1`.
"""

import faulthandler
import locale
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gopher.compat import environment

from .child_signals import ChildSignals
from .interpreter import Interpreter
from .lasting import LIMITS, Lasting
from .loggers import Loggers
from .random_numbers import SharedNumbers
from .stacks import SIGNAL as STACKS_SIGNAL
from .stacks import write_stacks_to
from .streams import Streams
from .watch import watch

#: Signals for `faulthandler.register`, whose C handlers are invisible to `signal.getsignal`; without ours: it would end
#: this process while it is not registered.
_REGISTRABLE = sorted(
    signal.valid_signals()
    - {signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, STACKS_SIGNAL}
)


def report_crashes(stacks: int) -> None:
    """Write crashes of this process to the job's log, with the location in the handler; stacks to their file."""
    # Otherwise nothing would be done where a job has set what a signal does.
    faulthandler.disable()
    faulthandler.enable(file=2, all_threads=False)
    write_stacks_to(stacks)


class ProcessState:
    """Standard streams, signals, timers, limits, folder, umask, environment, locale, loggers, Python's own settings.

    Made when the child is ready for its first job: what is set then stays.
    """

    def __init__(self, streams: Streams, signals: ChildSignals, stacks: int) -> None:
        self._streams = streams
        self._stacks = stacks
        self._signals = signals
        self._folder = _folder()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._os_environ = os.environ
        self._environ = dict(environment())
        self._timeout = socket.getdefaulttimeout()
        self._limits = {each: resource.getrlimit(each) for each in LIMITS}
        self._locale = locale.setlocale(locale.LC_ALL)
        self._loggers, self._lasting = Loggers(), Lasting()
        self._numbers = SharedNumbers()
        self._interpreter = Interpreter()
        #: Returns the context to run a job in.
        self.context = self._interpreter.context
        watch.forget()

    def restore(self, *, thoroughly: bool) -> bool:
        """Put back what was changed; `thoroughly` also what only C code may have changed unnoticed.

        Returns whether something may be left that can't be put back.
        """
        faulthandler.cancel_dump_traceback_later()
        changed = self._interpreter.restore_assigned()
        noted = watch.called or changed
        if noted:
            thoroughly = True
            self._restore_noted()
        if thoroughly:
            # Timers first: they may terminate this process.
            self._signals.restore()
            self._restore_folder()
            self._interpreter.restore_decimals()
        self._streams.restore(thoroughly=thoroughly)
        os.environ = self._os_environ  # noqa: B003 - what it holds is put back below
        if noted:
            if watch.variables or environment() != self._environ:
                self._restore_environ()
            # What it says of the time zone may have been put into force, or not.
            time.tzset()
        if socket.getdefaulttimeout() != self._timeout:
            socket.setdefaulttimeout(self._timeout)
        if thoroughly:
            # Only now, since signal handlers may have run in between.
            watch.forget()
        return thoroughly

    def left_for_good(self) -> str:
        """Return what the job has left that can't be restored; "" if there is nothing."""
        return self._lasting.changes()

    @contextmanager
    def adopt_threads(self) -> Iterator[None]:
        """Count threads that are started meanwhile as the child's own, not as a job's: they may stay."""
        number, before = self._lasting.threads()
        try:
            yield
        finally:
            self._lasting.adopt_threads(number, before)

    def _restore_noted(self) -> None:
        """Put back what only functions change whose calls are noted."""
        self._interpreter.restore_called()
        report_crashes(self._stacks)
        # A handler of the interrupt signal would prevent the next job's interruption, so that it would be killed.
        for number in _REGISTRABLE:
            faulthandler.unregister(number)
        self._restore_limits()
        self._lasting.restore()
        self._loggers.restore()
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        self._numbers.restore()

    def _restore_limits(self) -> None:
        for each, limit in self._limits.items():
            if resource.getrlimit(each) != limit:
                # Hard limits can't be raised again, unless we are root.
                with suppress(ValueError, OSError):
                    resource.setrlimit(each, limit)

    def _restore_folder(self) -> None:
        os.umask(self._umask)
        if self._folder is not None and _folder() != self._folder:
            # A deploy may have deleted the folder.
            with suppress(OSError):
                os.chdir(self._folder)

    def _restore_environ(self) -> None:
        for name in [name for name in os.environb if name not in self._environ]:
            del os.environb[name]
        for name, value in self._environ.items():
            os.environb[name] = value
        for name in watch.variables - self._environ.keys():
            os.unsetenv(name)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None

"""What one job may leave changed in its child, and the next one must not find: put back after each job.

Not everything can be: patched modules, threads, open files. Recycling (`WORKER_MAX_JOBS_PER_CHILD=1` if need be)
is for those.
"""

import faulthandler
import os
import socket
from contextlib import suppress

from .child_signals import ChildSignals
from .streams import Streams
from .watch import watch


class Surroundings:
    """The standard streams, signals and timers, the folder, the umask, the environment and the sockets' timeout."""

    def __init__(self, streams: Streams, signals: ChildSignals) -> None:
        self._streams = streams
        self._signals = signals
        self._folder = _folder()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        # The mapping below os.environ: comparing it costs a microsecond, a copy of os.environ thirty.
        self._environ = dict(os.environ._data)  # type: ignore[attr-defined]
        self._timeout = socket.getdefaulttimeout()

    def restore(self, *, thoroughly: bool) -> None:
        """Put back what was changed; `thoroughly` also what only C code may have changed unnoticed."""
        faulthandler.cancel_dump_traceback_later()
        thoroughly = thoroughly or watch.called
        if thoroughly:
            # Timers first: they may end this process.
            self._signals.restore()
            self._restore_folder()
        self._streams.restore(thoroughly=thoroughly)
        if os.environ._data != self._environ:  # type: ignore[attr-defined]
            self._restore_environ()
        if socket.getdefaulttimeout() != self._timeout:
            socket.setdefaulttimeout(self._timeout)
        if thoroughly:
            # Only now: handlers of signals may have come in between.
            watch.forget()

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


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None

"""What one job may leave changed in its child, and the next one must not find: put back after each job.

Not everything can be: patched modules, threads, open files. Recycling (`WORKER_MAX_JOBS_PER_CHILD=1` if need be)
is for those.
"""

import os
import signal
import socket

# Below signal.getsignal, which makes an enum of what this returns, at eight times the cost: seven are asked a job.
from _signal import getsignal  # type: ignore[import-not-found]
from contextlib import suppress

_SIGNALS = (
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGCHLD,
)


class Surroundings:
    """The folder, the umask, the environment, the signal handlers and the sockets' timeout as they were at first."""

    def __init__(self) -> None:
        self._folder = _folder()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        # The mapping below os.environ: comparing it costs a microsecond, a copy of os.environ thirty.
        self._environ = dict(os.environ._data)  # type: ignore[attr-defined]
        self._handlers = list(map(getsignal, _SIGNALS))
        self._timeout = socket.getdefaulttimeout()

    def restore(self) -> None:
        """Put back what was changed."""
        os.umask(self._umask)
        if self._folder is not None and _folder() != self._folder:
            # A deploy may have deleted the folder meanwhile: there is nothing to go back to then.
            with suppress(OSError):
                os.chdir(self._folder)
        if os.environ._data != self._environ:  # type: ignore[attr-defined]
            self._restore_environ()
        if list(map(getsignal, _SIGNALS)) != self._handlers:
            self._restore_handlers()
        if socket.getdefaulttimeout() != self._timeout:
            socket.setdefaulttimeout(self._timeout)

    def _restore_handlers(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            # None is one of C code, which nobody here could put back.
            if handler is not None and getsignal(number) is not handler:
                signal.signal(number, handler)

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

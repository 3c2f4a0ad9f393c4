"""Whether a handler has called what changes its process for longer than the job.

To ask the system after each job for its timers, signal mask, folder and so on would take half as long as all else that
a short job costs its child. So calls from Python are noted. What C code does behind Python's back is looked for after
jobs that took longer, and whenever a child runs out of work.
"""

import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

_WATCHED: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (signal, ("alarm", "pthread_sigmask", "set_wakeup_fd", "setitimer", "signal")),
    (os, ("chdir", "close", "closerange", "dup2", "fchdir", "umask")),
    (resource, ("prlimit", "setrlimit") if hasattr(resource, "prlimit") else ("setrlimit",)),
    (faulthandler, ("disable", "enable", "register")),
    (sys, ("setprofile", "setrecursionlimit", "settrace")),
)


class Watch:
    """For this process, which runs one job at a time."""

    def __init__(self) -> None:
        self._is_on = False
        #: Whether one of them was called since `forget`; always when nothing is noted.
        self.called = True

    def begin(self) -> None:
        """Note calls from now on. Modules that are imported later get hold of nothing else."""
        if not self._is_on:
            self._is_on = True
            for module, names in _WATCHED:
                for name in names:
                    function = getattr(module, name)
                    noting = self._noting(function)
                    # Where pickle looks for it: below, in `posix`, stands another.
                    noting.__module__ = module.__name__
                    if function in os.supports_fd:
                        os.supports_fd.add(noting)
                    setattr(module, name, noting)

    def forget(self) -> None:
        self.called = not self._is_on

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noting(*args: Any, **options: Any) -> Any:
            self.called = True
            return function(*args, **options)

        return noting


watch = Watch()

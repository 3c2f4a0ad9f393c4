"""Detects whether a handler has called functions that change process state beyond the job.

Reading timers, signal mask, working directory etc. after each job would add half of a short job's overhead. So calls
from Python are recorded. Changes by C code are checked after longer jobs, and whenever a child becomes idle.
"""

import faulthandler
import gc
import locale
import logging
import logging.config
import os
import random
import resource
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

_WATCHED: tuple[tuple[object, str], ...] = (
    (signal, "alarm pthread_sigmask set_wakeup_fd setitimer siginterrupt signal"),
    (os, "chdir chroot close closerange dup2 fchdir umask"),
    (os, "nice setpriority sched_setaffinity sched_setparam sched_setscheduler"),
    (os, "setpgid setpgrp setsid setns unshare"),
    (os, "setuid seteuid setreuid setresuid setgid setegid setregid setresgid setgroups initgroups"),
    (resource, "prlimit setrlimit"),
    (faulthandler, "disable enable register unregister"),
    (sys, "setprofile setrecursionlimit setswitchinterval settrace"),
    (sys, "set_coroutine_origin_tracking_depth set_int_max_str_digits"),
    (threading, "setprofile settrace stack_size"),
    (gc, "disable enable set_debug set_threshold"),
    (random, "seed setstate"),
    (time, "tzset"),
    (locale, "setlocale"),
    (tracemalloc, "start stop"),
    (logging, "captureWarnings disable setLogRecordFactory"),
    (logging.config, "dictConfig fileConfig"),
    # The base of loggers and of handlers: one is set at its start, and hardly ever later.
    (logging.Filterer, "__setattr__ addFilter removeFilter"),
    (logging.Logger, "addHandler removeHandler"),
)


#: What sets variables of the environment: `os.environ` calls them too.
_VARIABLES = "putenv unsetenv"


Noting = Callable[[Callable[..., Any]], Callable[..., Any]]


class Watch:
    """For this process, which runs one job at a time."""

    def __init__(self) -> None:
        self._is_on = False
        #: Names of variables that were set since `forget`, whether `os.environ` knows of it or not.
        self.variables: set[bytes] = set()
        #: Whether one of them was called since `forget`; always True if calls are not recorded.
        self.called = True

    def begin(self) -> None:
        """Record calls from now on, including those from modules that are imported later."""
        if not self._is_on:
            self._is_on = True
            for holder, names in _WATCHED:
                self.note(holder, names)
            self.note(os, _VARIABLES, self._noting_variables)

    def note(self, holder: object, names: str, noting_of: Noting | None = None) -> None:
        """Record calls of these functions of a module or a class, without those that this system lacks."""
        for name in names.split():
            function = getattr(holder, name, None)
            if function is None:
                continue
            noting = (noting_of or self._noting)(function)
            if isinstance(holder, ModuleType):
                # Pickle finds it under this name; `posix` has the original.
                noting.__module__ = holder.__name__
            if function in os.supports_fd:
                os.supports_fd.add(noting)
            setattr(holder, name, noting)

    def forget(self) -> None:
        self.called = not self._is_on
        self.variables.clear()

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noting(*args: Any, **options: Any) -> Any:
            self.called = True
            return function(*args, **options)

        return noting

    def _noting_variables(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noting(name: str | bytes, *value: str | bytes) -> Any:
            self.called = True
            self.variables.add(os.fsencode(name))
            return function(name, *value)

        return noting


watch = Watch()

"""Forks a process of a worker, in which the supervisor's code must not run."""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from . import interrupt

_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, interrupt.SIGNAL}


def fork(run: Callable[[], None]) -> int:
    """Start a process that calls `run` and exits; return its pid. Raises OSError."""
    # No signal may arrive before the new process has installed its handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        pid = os.fork()
        if pid == 0:
            run_and_exit(run)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    return pid


def run_and_exit(run: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        gc.enable()
        run()
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of this process
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(code)

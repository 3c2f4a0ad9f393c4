"""What the first process of a container has to do: for PID 1, signals without a handler are ignored.

Until a worker, scheduler or API has started, whose own handlers stop it gracefully, there is nothing to finish.
"""

import os
import signal


def end_on_sigterm() -> None:
    """End the process on SIGTERM from now on, also if that came while another program was being started."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def keep_sigterm() -> None:
    """Keep SIGTERM until the program that replaces this one calls `end_on_sigterm`."""
    if os.getpid() == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _end(number: int, frame: object) -> None:
    # Not an exception: a module that is being imported may catch it.
    os._exit(128 + number)

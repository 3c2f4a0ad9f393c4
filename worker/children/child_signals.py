"""A child's signals: its handlers, the mask and the timers, the same for each job, and none of them in its copies."""

import os
import signal
import threading
from collections.abc import Callable

# Now, before `watch` puts others in their place, which would take our own calls for a job's.
from signal import set_wakeup_fd, setitimer
from types import FrameType

from gopher.compat import signal_handler as getsignal
from gopher.compat import signal_mask as pthread_sigmask

from . import interrupt

#: Those that mean something to the supervisor only. TERM and INT go to all processes on some platforms.
_NOT_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR2)
#: All but those for real-time use, which are not sent by accident.
_NUMBERS = tuple(sorted(int(number) for number in signal.valid_signals() if number < 32))
_TIMERS = tuple(map(int, (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)))


class ChildSignals:
    """The signals of one child. Made in it, right after the fork."""

    def __init__(self, interrupted: Callable[[int, FrameType | None], None]) -> None:
        signal.set_wakeup_fd(-1)
        # Not SIG_IGN: programs that a handler starts would inherit it.
        for number in _NOT_OURS:
            signal.signal(number, _no_action)
        for number in (signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(interrupt.SIGNAL, interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._handlers = list(map(getsignal, _NUMBERS))
        #: Whether this is a process that a handler has forked.
        self.in_copy = False
        self._before_fork = threading.local()
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)

    def restore(self) -> None:
        """Put back what a job has changed, and cancel what it has set to come later."""
        for timer in _TIMERS:
            setitimer(timer, 0)
        set_wakeup_fd(-1)
        if list(map(getsignal, _NUMBERS)) != self._handlers:
            self._restore_handlers()
        if pthread_sigmask(signal.SIG_BLOCK, ()):
            self._restore_mask()

    def _restore_handlers(self) -> None:
        for number, handler in zip(_NUMBERS, self._handlers, strict=True):
            # None is one of C code, which can't be put back from here.
            if handler is not None and getsignal(number) is not handler:
                signal.signal(number, handler)

    def _restore_mask(self) -> None:
        # What has come meanwhile was meant for the job that is over. To ignore a signal discards it.
        for number in signal.sigpending() - {interrupt.SIGNAL}:
            signal.signal(number, signal.SIG_IGN)
        self._restore_handlers()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    # A process that a handler forks (multiprocessing does) shall be ended by SIGTERM, as any other: a pool that ends
    # its workers would wait for ever. From the fork on: one that comes before the handlers are gone waits till then.

    def _hold(self) -> None:
        # Also those for which the job has a handler: Python forgets what comes before it knows that it is a copy.
        self._before_fork.mask = pthread_sigmask(signal.SIG_BLOCK, _NOT_OURS)

    def _release(self) -> None:
        pthread_sigmask(signal.SIG_SETMASK, self._before_fork.mask)

    def _forget(self) -> None:
        self.in_copy = True
        for number, handler in zip(_NUMBERS, self._handlers, strict=True):
            if callable(handler) and getsignal(number) is handler:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._release()


def _no_action(_signal: int, _frame: FrameType | None) -> None:
    pass

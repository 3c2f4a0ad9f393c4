"""Signals of a child: handlers, mask and timers, reset for each job, and removed in processes forked by handlers."""

import os
import signal
import threading
from collections.abc import Callable

# Now, before `watch` puts others in their place, which would take our own calls for a job's.
from signal import set_wakeup_fd, setitimer
from types import FrameType

from gopher.compat import signal_handler as getsignal
from gopher.compat import signal_mask as pthread_sigmask

from . import interrupt, stacks

#: Signals for the supervisor only. TERM and INT are sent to all processes on some platforms.
_NOT_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR2)
#: All except real-time signals, which are not sent by accident.
_NUMBERS = tuple(sorted(int(number) for number in signal.valid_signals() if number < 32))
_TIMERS = tuple(map(int, (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)))


class ChildSignals:
    """The signals of a child. Created in the child right after the fork."""

    def __init__(self, interrupted: Callable[[int, FrameType | None], None]) -> None:
        signal.set_wakeup_fd(-1)
        # Not SIG_IGN, which programs started by a handler would inherit.
        for number in _NOT_OURS:
            signal.signal(number, _no_action)
        for number in (signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(interrupt.SIGNAL, interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._handlers = list(map(getsignal, _NUMBERS))
        #: Whether this is a process forked by a handler.
        self.in_copy = False
        self._before_fork = threading.local()
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)

    def restore(self) -> None:
        """Restore what a job has changed, and cancel its timers."""
        for timer in _TIMERS:
            setitimer(timer, 0)
        set_wakeup_fd(-1)
        if list(map(getsignal, _NUMBERS)) != self._handlers:
            self._restore_handlers()
        if pthread_sigmask(signal.SIG_BLOCK, ()):
            self._restore_mask()

    def _restore_handlers(self) -> None:
        for number, handler in zip(_NUMBERS, self._handlers, strict=True):
            # None is a handler of C code, which can't be restored from here.
            if handler is not None and getsignal(number) is not handler:
                signal.signal(number, handler)

    def _restore_mask(self) -> None:
        # Pending signals were meant for the previous job. Ignoring a signal discards it. That which asks for the stack
        # does no harm, and Python does not know its handler.
        for number in signal.sigpending() - {interrupt.SIGNAL, stacks.SIGNAL}:
            signal.signal(number, signal.SIG_IGN)
        self._restore_handlers()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    # SIGTERM must terminate a process forked by a handler (e.g. by multiprocessing), as usual: otherwise a pool would
    # wait forever for its workers. From the fork on: a signal before the handlers are removed is blocked until then.

    def _hold(self) -> None:
        # Including those for which the job has a handler: Python drops signals before it knows that it was forked.
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

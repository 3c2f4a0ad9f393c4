"""Attempts within middleware, in a child."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from typing import cast

import msgspec
from gopher.worker.attempt import failures, is_last
from gopher.worker.messages import Assignment, Failed

from gopher.hooks import registered
from gopher.hooks.attempts import Around
from gopher.hooks.middleware import Kind, Outcome
from gopher.jobs.handlers import Handler
from gopher.jobs.job import Job

#: How attempts end that do not complete, by what the child says of them.
KINDS: dict[str, Kind] = {
    "timeout": "timeout",
    "snooze": "snoozed",
    "rate_limited": "rate_limited",
    "cancelled": "cancelled",
}


class Hooked:
    """Runs attempts within the middleware of this process, in the context of the handler."""

    def __init__(
        self, middleware: Sequence[registered.Hooked], adopting: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._middleware = middleware
        #: Threads that are started within it stay.
        self._adopting = adopting
        self._around: Around | None = None
        self._failed: Failed | None = None

    def begin_and_run(self, job: Job, context: Context, run: Callable[[], bytes]) -> bytes:
        """Call `before` of each middleware, then the handler. Raises whatever they raise."""
        self._failed = None
        self._around = around = Around(self._middleware, job)
        with self._adopting():
            context.run(around.begin)
        return run()

    def succeed(self, result: object, context: Context) -> None:
        """Call `on_success` of each middleware. Raises whatever they raise."""
        with self._adopting():
            context.run(cast(Around, self._around).succeed, result)

    def end_completed(self, result: object, context: Context) -> None:
        self._end(Outcome(kind="completed", result=result), context)

    def end_failed(
        self,
        given: Assignment,
        handler: Handler,
        error: BaseException,
        failed: Failed,
        context: Context,
    ) -> None:
        """Tell middleware of an attempt that has not completed."""
        kind, after, dead = KINDS.get(failed.kind, "failed"), failed.after, failed.kind == "discard"
        is_failure = kind in ("failed", "timeout")
        if is_failure and not dead:
            # Decided here, so that middleware hears what will be true.
            after = handler.backoff.delay(failures(given.job)) if after is None else after
            dead = is_last(given, after)
        self._failed = msgspec.structs.replace(failed, after=after, told=is_failure + dead)
        outcome = Outcome(
            kind=kind,
            error=error,
            # As the dead letter has it.
            error_type="Timeout" if kind == "timeout" else failed.error_type,
            message=failed.message,
            traceback=failed.traceback,
            place=failed.place,
            dead=dead,
        )
        self._end(outcome, context)

    def take_failed(self) -> Failed | None:
        """Return what is to be said of the attempt that has just failed, if middleware has heard of it."""
        failed, self._failed = self._failed, None
        return failed

    def _end(self, outcome: Outcome, context: Context) -> None:
        around = cast(Around, self._around)
        try:
            with self._adopting():
                context.run(around.end, outcome)
        except BaseException:
            logging.getLogger("gopher.middleware").exception("middleware was interrupted after the attempt")

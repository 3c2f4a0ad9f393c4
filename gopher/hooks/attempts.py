"""Hooks around an attempt, in the process that runs it."""

import logging
from collections.abc import Callable, Sequence

from gopher.jobs.job import Job

from .middleware import Outcome
from .registered import Hooked

_log = logging.getLogger("gopher.middleware")


class Around:
    """One attempt within its middleware: the first is outermost."""

    def __init__(self, middleware: Sequence[Hooked], job: Job) -> None:
        self._middleware = middleware
        self._job = job
        #: Those whose `before` has returned.
        self._begun: list[Hooked] = []

    def begin(self) -> None:
        """Call `before` of each. Raises what one of them raises; those after it are not called then."""
        for each in self._middleware:
            if each.before is not None:
                each.before(self._job)
            self._begun.append(each)

    def succeed(self, result: object) -> None:
        """Call `on_success` of each, in reverse order. Raises what one of them raises; the others are not called."""
        for each in reversed(self._begun):
            if each.on_success is not None:
                each.on_success(self._job, result)

    def end(self, outcome: Outcome) -> None:
        """Call `after` where `before` was called, in reverse order. Exceptions are logged and change nothing."""
        while self._begun:
            try:
                while self._begun:
                    tell(self._begun.pop(), self._job, outcome, with_after=True)
            except BaseException:  # noqa: BLE001 - an interruption, between two hooks
                _log.exception("middleware was interrupted after the attempt", extra={"job_id": self._job.id})


def tell(hooked: Hooked, job: Job, outcome: Outcome, *, with_after: bool = False, heard_failure: bool = False) -> None:
    """Tell one middleware how an attempt has ended."""
    if outcome.is_failure:
        if hooked.on_failure is not None and not heard_failure:
            _guarded(hooked, "on_failure", hooked.on_failure, job, outcome)
        if hooked.on_dead is not None and outcome.dead:
            _guarded(hooked, "on_dead", hooked.on_dead, job, outcome)
    if with_after and hooked.after is not None:
        _guarded(hooked, "after", hooked.after, job, outcome)


def _guarded(hooked: Hooked, name: str, hook: Callable[..., object], job: Job, outcome: Outcome) -> None:
    try:
        hook(job, outcome)
    except BaseException:  # noqa: BLE001 - the outcome is kept, whatever they do
        _log.exception("%s.%s() has failed", hooked.name, name, extra={"job_id": job.id})

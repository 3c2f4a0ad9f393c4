"""Errors of jobs in Sentry: `middleware.add(SentryMiddleware())`, after `sentry_sdk.init(...)`. Extra `sentry`."""

from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, Literal

from gopher.base.installed import require
from gopher.errors import ConfigurationError
from gopher.hooks.middleware import Middleware, Outcome
from gopher.jobs.job import Job

require("sentry", "SentryMiddleware")
import sentry_sdk  # noqa: E402 - after the check, whose message has the remedy


class SentryMiddleware(Middleware):
    """Sends one event for each job that becomes a dead letter, or, with `report="failed"`, for each failed attempt.

    What a handler itself captures carries the job too. `flush` is how many seconds an event may take to be sent:
    its process may be the next one to die.
    """

    def __init__(self, report: Literal["dead", "failed"] = "dead", *, flush: float = 2.0) -> None:
        if report not in ("dead", "failed"):
            raise ConfigurationError(f'SentryMiddleware(report={report!r}): must be "dead" or "failed"')
        self._report = report
        self._flush = flush

    def before(self, job: Job) -> None:
        scopes, outer = ExitStack(), _open.get()
        _describe(scopes.enter_context(sentry_sdk.isolation_scope()), job)
        _open.set((scopes, outer))

    def after(self, job: Job, outcome: Outcome) -> None:
        opened = _open.get()
        if opened is not None:
            scopes, outer = opened
            _open.set(outer)
            scopes.close()

    def on_failure(self, job: Job, outcome: Outcome) -> None:
        if self._report == "failed":
            self._capture(job, outcome)

    def on_dead(self, job: Job, outcome: Outcome) -> None:
        if self._report == "dead":
            self._capture(job, outcome)

    def _capture(self, job: Job, outcome: Outcome) -> None:
        with sentry_sdk.new_scope() as scope:
            _describe(scope, job)
            scope.set_tag("gopher.outcome", outcome.kind)
            scope.set_tag("gopher.dead", str(outcome.dead).lower())
            if outcome.error is not None:
                sentry_sdk.capture_exception(outcome.error)
            else:
                sentry_sdk.capture_event(_event(job, outcome))
        sentry_sdk.flush(timeout=self._flush)


#: The scopes of the attempt that runs in this context, and those of the one around it.
_open: ContextVar[Any] = ContextVar("gopher_sentry_scopes", default=None)


def _describe(scope: sentry_sdk.Scope, job: Job) -> None:
    scope.set_transaction_name(job.type, source="task")
    scope.set_tag("gopher.job_id", job.id)
    scope.set_tag("gopher.job_type", job.type)
    scope.set_tag("gopher.queue", job.queue)
    scope.set_tag("gopher.attempt", str(job.attempt))
    scope.set_context(
        "gopher",
        {
            "job_id": job.id,
            "type": job.type,
            "queue": job.queue,
            "priority": job.priority,
            "attempt": job.attempt,
            "max_retries": job.max_retries,
        },
    )


def _event(job: Job, outcome: Outcome) -> Any:
    """Return the event of an attempt that left no exception: its child died, or was killed."""
    return {
        "level": "error",
        "exception": {"values": [{"type": outcome.error_type or outcome.kind, "value": outcome.message}]},
        # Without frames, all crashes would be one issue.
        "fingerprint": ["gopher", job.type, outcome.error_type or outcome.kind, outcome.place],
        "extra": {"report": outcome.traceback} if outcome.traceback else {},
    }

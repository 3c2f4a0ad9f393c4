"""Runs an attempt of a job in this process, like a child does."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from types import CoroutineType
from typing import Any, TypedDict, Unpack

import msgspec
from gopher.worker.children import failures
from gopher.worker.children.child import what_becomes
from gopher.worker.children.hooked import KINDS
from gopher.worker.children.results import BadResult, encode_result

from gopher.config.settings import Settings
from gopher.errors import Cancelled, ConfigurationError, SoftTimeout
from gopher.hooks import added
from gopher.hooks.attempts import Around
from gopher.hooks.middleware import Outcome
from gopher.jobs.handlers import Handler, HandlerFunction
from gopher.jobs.job import Envelope, Job, Reporter, new_job_id, running_job
from gopher.jobs.options import resolve
from gopher.jobs.registry import Registry
from gopher.jobs.registry import registry as handlers
from gopher.jobs.submission import to_json
from gopher.tasks.task import Submitting

from .files import given_files

#: Exceptions that end an attempt. Others, such as interrupts or pytest's outcomes, end the test.
ENDS = (Exception, SoftTimeout, Cancelled, SystemExit)


class Recorder(Reporter):
    """Records a handler's reports: `lines` of its log, and `progress` as (fraction, message).

    `asked_to_stop` is the result of `job.cancelled()`.
    """

    def __init__(self, *, asked_to_stop: bool = False) -> None:
        self.lines: list[str] = []
        self.reports: list[tuple[float, str]] = []
        self.asked_to_stop = asked_to_stop

    def progress(self, fraction: float, message: str) -> None:
        super().progress(fraction, message)
        self.reports.append((fraction, message))

    def log(self, line: str) -> None:
        super().log(line)
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self.asked_to_stop


class AboutJob(TypedDict, total=False):
    """What may be said of the `Job` that a handler is given."""

    id: str
    queue: str
    priority: str
    attempt: int
    max_retries: int
    metadata: dict[str, Any]
    tags: tuple[str, ...]
    deadline: float | None
    parents: dict[str, Any]
    trace_id: str
    owner: str
    batch: str


def run_job(
    job_type: str | HandlerFunction | Submitting[Any, Any],
    payload: Any = None,
    *,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    files: Mapping[str, str | os.PathLike[str]] | None = None,
    **about: Unpack[AboutJob],
) -> Any:
    """Run an attempt of a job in this process and return its result, as decoded from JSON.

    `job_type` is a name, or the handler or task itself; `payload` is anything that can be encoded as JSON (default:
    {}). `about` sets attributes of the `Job`: `attempt=3`, `metadata={...}`, `parents={...}`. `files` are the paths of
    the files that it is submitted with, by name; what it attaches is in the store of the settings. Raises the handler's
    exceptions; InvalidJob, naming the field, for an invalid payload; BadResult for a result that can't be stored.
    Middleware is called as in a child. There is no timeout.
    """
    handler = _handler(job_type, handlers if registry is None else registry)
    options = resolve(Envelope(), handler, Settings())
    said: dict[str, Any] = {
        "id": new_job_id(),
        "type": handler.name,
        "max_retries": options.max_retries,
        "deadline": time.time() + options.timeout,
        **{name: value for name, value in about.items() if value is not None},
    }
    given = given_files(files or {})
    job = Job(**said, reporter=reporter or Reporter(), uploads=given.uploads, open_files=given.open)
    return json.loads(attempt(handler, job, to_json({} if payload is None else payload, "/payload")) or b"null")


def attempt(
    handler: Handler,
    job: Job,
    payload: bytes | msgspec.Raw,
    on_error: Callable[[BaseException], None] = lambda error: None,
    await_result: Callable[[Coroutine[Any, Any, Any]], object] = asyncio.run,
) -> bytes:
    """Call a handler, within the middleware, like a child and return its result as JSON, b"" for None.

    Raises the handler's exceptions. `on_error` is called with them before anything is closed. `await_result` runs the
    coroutine of a handler.
    """
    before = running_job.set(job)
    try:
        if not added.attempting:
            return _call(handler, job, payload, on_error, await_result)[1]
        # What `before` sets in context variables, the handler sees, and no one after it.
        return copy_context().run(_call_hooked, handler, job, payload, on_error, await_result)
    finally:
        running_job.reset(before)
        if job.opened is not None:
            job.opened.close()


def _call(
    handler: Handler,
    job: Job,
    payload: bytes | msgspec.Raw,
    on_error: Callable[[BaseException], None],
    await_result: Callable[[Coroutine[Any, Any, Any]], object],
) -> tuple[Any, bytes]:
    """Return the result of a handler, and that as JSON."""
    try:
        result = handler.function(job, handler.decode(payload))
        if isinstance(result, CoroutineType):
            result = await_result(result)
        return result, encode_result(result, handler.result, job.attach if handler.attach_result else None)
    except ENDS as error:
        on_error(error)
        raise


def _call_hooked(
    handler: Handler,
    job: Job,
    payload: bytes | msgspec.Raw,
    on_error: Callable[[BaseException], None],
    await_result: Callable[[Coroutine[Any, Any, Any]], object],
) -> bytes:
    around = Around(tuple(added.attempting), job)
    try:
        around.begin()
        result, encoded = _call(handler, job, payload, on_error, await_result)
        around.succeed(result)
    except ENDS as error:
        around.end(_outcome(error, handler, job))
        raise
    around.end(Outcome(kind="completed", result=result))
    return encoded


def _outcome(error: BaseException, handler: Handler, job: Job) -> Outcome:
    """Return what middleware is told of an attempt that has not completed."""
    kind, _ = what_becomes(error, handler)
    shown = KINDS.get(kind, "failed")
    is_failure = shown in ("failed", "timeout")
    return Outcome(
        kind=shown,
        error=error,
        error_type="Timeout" if kind == "timeout" else error_type_of(error),
        message=failures.message(error),
        traceback=failures.trace(error) if kind in ("error", "timeout") else "",
        place=failures.place(error, handler.function.__module__),
        dead=is_failure and (kind == "discard" or job.attempt > job.max_retries),
    )


def error_type_of(error: BaseException) -> str:
    return error.error_type if isinstance(error, BadResult) else failures.error_type(error)


def _handler(job_type: str | HandlerFunction | Submitting[Any, Any], registry: Registry) -> Handler:
    if isinstance(job_type, Submitting):
        return job_type.handler
    if isinstance(job_type, str):
        return registry.require(job_type)
    found = next((handler for handler in registry if handler.function is job_type), None)
    if found is None:
        name = getattr(job_type, "__qualname__", repr(job_type))
        raise ConfigurationError(f"{name} is not a handler: decorate it with @handler, or pass its registry")
    return found

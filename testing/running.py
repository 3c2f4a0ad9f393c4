"""Runs an attempt of a job in this process, like a child does."""

import asyncio
import json
import time
from types import CoroutineType
from typing import Any, TypedDict, Unpack

import msgspec
from gopher.worker.children.results import encode_result

from gopher.config.settings import Settings
from gopher.errors import ConfigurationError
from gopher.jobs.handlers import Handler, HandlerFunction, Registry
from gopher.jobs.handlers import registry as registered
from gopher.jobs.job import Envelope, Job, Reporter, new_job_id, running_job
from gopher.jobs.options import resolve
from gopher.jobs.submission import to_json


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
    deadline: float | None
    parents: dict[str, Any]
    trace_id: str
    owner: str


def run_job(
    job_type: str | HandlerFunction,
    payload: Any = None,
    *,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    **about: Unpack[AboutJob],
) -> Any:
    """Run an attempt of a job in this process and return its result, as decoded from JSON.

    `job_type` is a name or the handler itself; `payload` is anything that can be encoded as JSON (default: {}). `about`
    sets attributes of the `Job`: `attempt=3`, `metadata={...}`, `parents={...}`. Raises the handler's exceptions;
    InvalidJob, naming the field, for an invalid payload; BadResult for a result that can't be stored. There is no
    timeout.
    """
    handler = _handler(job_type, registered if registry is None else registry)
    options = resolve(Envelope(), handler, Settings())
    said: dict[str, Any] = {
        "id": new_job_id(),
        "type": handler.name,
        "max_retries": options.max_retries,
        "deadline": time.time() + options.timeout,
        **{name: value for name, value in about.items() if value is not None},
    }
    job = Job(**said, reporter=reporter or Reporter())
    return json.loads(attempt(handler, job, to_json({} if payload is None else payload, "/payload")) or b"null")


def attempt(handler: Handler, job: Job, payload: bytes | msgspec.Raw) -> bytes:
    """Call a handler like a child and return its result as JSON, b"" for None. Raises the handler's exceptions."""
    typed = handler.decode(payload)
    before = running_job.set(job)
    try:
        result = handler.function(job, typed)
        return encode_result(asyncio.run(result) if isinstance(result, CoroutineType) else result)
    finally:
        running_job.reset(before)


def _handler(job_type: str | HandlerFunction, registry: Registry) -> Handler:
    if isinstance(job_type, str):
        return registry.require(job_type)
    found = next((handler for handler in registry if handler.function is job_type), None)
    if found is None:
        name = getattr(job_type, "__qualname__", repr(job_type))
        raise ConfigurationError(f"{name} is not a handler: decorate it with @handler, or pass its registry")
    return found

"""Turns all errors into one JSON format: a summary, a stable code, details and the field."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from gopher.errors import (
    ConfigurationError,
    InvalidJob,
    JobConflict,
    JobNotFound,
    OutcomeUnknown,
    RedriveNotFound,
    RoleNeeded,
    ScheduleNotFound,
    ServerError,
)
from gopher.jobs.submission import InvalidBatch
from gopher.queue.idempotency import IdempotencyMismatch
from gopher.telemetry.logs import get_logger

from .answers import answer
from .context import context
from .problems import BY_STATUS, FAILURES, EntryProblem, Failure, Problem
from .rates import RateLimited

_log = get_logger("api")
View = Callable[[HTTPException], Response]

_NO_JOB = FAILURES["not_found"]._replace(error="Job not found.")
_NO_SCHEDULE = FAILURES["not_found"]._replace(error="Schedule not found.")
_NO_REDRIVE = FAILURES["not_found"]._replace(error="There is no such redrive.")
_RETRY_AFTER = {"Retry-After": "1"}


def install(app: Flask, track: Callable[[View], View]) -> None:
    """Register the error handlers; `track` counts responses, for requests that match no view."""
    app.register_error_handler(InvalidJob, _invalid)
    app.register_error_handler(JobNotFound, lambda error: _failed(_NO_JOB, str(error)))
    app.register_error_handler(JobConflict, lambda error: _failed(FAILURES["conflict"], str(error)))
    app.register_error_handler(ScheduleNotFound, lambda error: _failed(_NO_SCHEDULE, str(error)))
    app.register_error_handler(RedriveNotFound, lambda error: _failed(_NO_REDRIVE, str(error)))
    app.register_error_handler(IdempotencyMismatch, lambda error: _failed(FAILURES["idempotency_mismatch"], str(error)))
    app.register_error_handler(RateLimited, _rate_limited)
    app.register_error_handler(ServerError, _server_error)
    app.register_error_handler(ConfigurationError, _misconfigured)
    app.register_error_handler(Exception, _unexpected)
    tracked = track(_http)

    def http(error: HTTPException) -> Response:
        return _http(error) if "in_view" in g else tracked(error)

    app.register_error_handler(HTTPException, http)


def _entry(index: int, error: InvalidJob) -> EntryProblem:
    return EntryProblem(index=index, field=error.field, code=error.code, details=error.details)


def _failed(failure: Failure, details: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    body = Problem(error=failure.error, code=failure.code, details=details, request_id=g.request_id, **more)
    return answer(body, failure.status, headers)


def _invalid(error: InvalidJob) -> Response:
    more: dict[str, Any] = {"field": error.field} if error.field else {}
    if isinstance(error, InvalidBatch):
        more["errors"] = [_entry(index, each) for index, each in error.errors]
        # A missing role takes precedence over other errors.
        refused = any(isinstance(each, RoleNeeded) for _, each in error.errors)
        return _failed(FAILURES["forbidden" if refused else error.code], error.details, **more)
    return _failed(FAILURES[error.code], error.details, **more)


def _rate_limited(error: RateLimited) -> Response:
    return _failed(FAILURES["rate_limited"], str(error), headers={"Retry-After": str(error.retry_after)})


def _server_error(error: ServerError) -> Response:
    _log.warning("server", code=error.code, details=str(error))
    if isinstance(error, OutcomeUnknown):
        return _outcome_unknown(error)
    return _failed(FAILURES[error.code], str(error), headers=_RETRY_AFTER)


def _outcome_unknown(error: OutcomeUnknown) -> Response:
    if "job_id" not in g:
        return _failed(FAILURES["outcome_unknown"], str(error), headers=_RETRY_AFTER)
    details = (
        "the job may or may not have been accepted; repeat the request with the same Idempotency-Key, "
        f"or check /api/v1/jobs/{g.job_id} once the queue is available again"
    )
    return _failed(FAILURES["outcome_unknown"], details, headers=_RETRY_AFTER, job_id=g.job_id)


def _misconfigured(error: ConfigurationError) -> Response:
    # The server rejects our password or permissions: logged in detail, since the caller can't fix it.
    _log.error("configuration", details=str(error))
    details = "the API can't use its server: see the API's log"
    return _failed(FAILURES["queue_unavailable"], details, headers=_RETRY_AFTER)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        return error.get_response()  # type: ignore[return-value]
    failure = BY_STATUS.get(status) or Failure(status, "http_error", error.name)
    return _failed(failure, _details(error), headers=_headers(error))


def _details(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return f"the body is larger than {context().settings.server_max_body} bytes (SERVER_MAX_BODY)"
    if error.code == 404:
        return f"{request.method} {request.path:.200}: see GET / for the list of endpoints"
    if isinstance(error, MethodNotAllowed):
        return f"{request.method:.20} is not supported here: use {', '.join(sorted(error.valid_methods or ()))}"
    return error.description or error.name


def _headers(error: HTTPException) -> dict[str, str]:
    """Return the relevant headers of an error: Allow, WWW-Authenticate."""
    headers = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type",)}
    return {**headers, "WWW-Authenticate": "Bearer"} if error.code == 401 else headers


def _unexpected(error: Exception) -> Response:
    _log.exception("unexpected error", exc_info=error)
    return _failed(FAILURES["internal"], f"see the API's log for request {g.request_id}")

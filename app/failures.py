"""Turns all errors into one JSON format: a summary, a stable code, details and the field."""

from collections.abc import Mapping
from logging import ERROR, WARNING
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from gopher.errors import (
    BatchNotFound,
    CancellationNotFound,
    ConfigurationError,
    DuplicateJob,
    InvalidJob,
    JobConflict,
    JobNotFound,
    KeyNotFound,
    NotReplicated,
    OutcomeUnknown,
    RedriveNotFound,
    RoleNeeded,
    ScheduleChanged,
    ScheduleNotFound,
    ServerError,
    WebhookNotFound,
    WorkerNotFound,
)
from gopher.files.store import FileMissing, FileTooLarge, StoreError, StoreFull
from gopher.jobs.submission import InvalidBatch
from gopher.queue.idempotency import IdempotencyMismatch
from gopher.telemetry.logs import get_logger

from .answers import answer
from .base_path import own_url
from .caller import may_read
from .context import context
from .problems import BY_STATUS, FAILURES, EntryProblem, Failure, Problem
from .rates import RateLimited

_log = get_logger("api")

_NO_JOB = FAILURES["not_found"]._replace(error="Job not found.")
_NO_SCHEDULE = FAILURES["not_found"]._replace(error="Schedule not found.")
_NO_REDRIVE = FAILURES["not_found"]._replace(error="Redrive not found.")
_NO_CANCELLATION = FAILURES["not_found"]._replace(error="Cancellation not found.")
_NO_BATCH = FAILURES["not_found"]._replace(error="Batch not found.")
_NO_KEY = FAILURES["not_found"]._replace(error="API key not found.")
_NO_WORKER = FAILURES["not_found"]._replace(error="Worker not found.")
_NO_WEBHOOK = FAILURES["not_found"]._replace(error="Webhook not found.")
_NO_FILE = FAILURES["not_found"]._replace(error="File not found.")
_RETRY_AFTER = {"Retry-After": "1"}


def install(app: Flask) -> None:
    """Register the error handlers."""
    app.register_error_handler(InvalidJob, _invalid)
    app.register_error_handler(JobNotFound, lambda error: _failed(_NO_JOB, str(error)))
    app.register_error_handler(JobConflict, lambda error: _failed(FAILURES["conflict"], str(error)))
    app.register_error_handler(ScheduleNotFound, lambda error: _failed(_NO_SCHEDULE, str(error)))
    app.register_error_handler(ScheduleChanged, lambda error: _failed(FAILURES["precondition_failed"], str(error)))
    app.register_error_handler(RedriveNotFound, lambda error: _failed(_NO_REDRIVE, str(error)))
    app.register_error_handler(CancellationNotFound, lambda error: _failed(_NO_CANCELLATION, str(error)))
    app.register_error_handler(BatchNotFound, lambda error: _failed(_NO_BATCH, str(error)))
    app.register_error_handler(KeyNotFound, lambda error: _failed(_NO_KEY, str(error)))
    app.register_error_handler(WorkerNotFound, lambda error: _failed(_NO_WORKER, str(error)))
    app.register_error_handler(WebhookNotFound, lambda error: _failed(_NO_WEBHOOK, str(error)))
    app.register_error_handler(IdempotencyMismatch, lambda error: _failed(FAILURES["idempotency_mismatch"], str(error)))
    app.register_error_handler(RateLimited, _rate_limited)
    app.register_error_handler(FileMissing, lambda error: _failed(_NO_FILE, error.public))
    app.register_error_handler(FileTooLarge, lambda error: _failed(FAILURES["payload_too_large"], error.public))
    app.register_error_handler(StoreError, _store_error)
    app.register_error_handler(ServerError, _server_error)
    app.register_error_handler(ConfigurationError, _misconfigured)
    app.register_error_handler(Exception, _unexpected)
    app.register_error_handler(HTTPException, _http)


def _entry(index: int, error: InvalidJob) -> EntryProblem:
    return EntryProblem(index=index, field=error.field, code=error.code, details=error.details)


def _failed(failure: Failure, details: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    body = Problem(error=failure.error, code=failure.code, details=details, request_id=g.request_id, **more)
    return answer(body, failure.status, headers)


def _invalid(error: InvalidJob) -> Response:
    more: dict[str, Any] = {"field": error.field} if error.field else {}
    if isinstance(error, DuplicateJob) and error.job_id:
        more["job_id"] = error.job_id
    if isinstance(error, InvalidBatch):
        more["errors"] = [_entry(index, each) for index, each in error.errors]
        # A missing role takes precedence over other errors.
        refused = any(isinstance(each, RoleNeeded) for _, each in error.errors)
        return _failed(
            FAILURES["forbidden" if refused else error.code], error.details, headers=_headers_of(error), **more
        )
    return _failed(FAILURES[error.code], error.details, headers=_headers_of(error), **more)


def _headers_of(error: InvalidJob) -> dict[str, str] | None:
    return None if error.is_permanent else _RETRY_AFTER


def _rate_limited(error: RateLimited) -> Response:
    return _failed(FAILURES["rate_limited"], str(error), headers={"Retry-After": str(error.retry_after)})


def _server_error(error: ServerError) -> Response:
    _log.warning("server", code=error.code, details=str(error))
    if isinstance(error, OutcomeUnknown):
        return _outcome_unknown(error)
    if isinstance(error, NotReplicated):
        return _not_replicated(error)
    return _failed(FAILURES[error.code], _told(error), headers=_RETRY_AFTER)


def _store_error(error: StoreError) -> Response:
    code = "store_full" if isinstance(error, StoreFull) else "store_unavailable"
    _log.log(WARNING if error.is_temporary else ERROR, "store", code=code, details=str(error))
    # What is refused to us, such as credentials, only an operator can change.
    details = _told(error) if error.is_temporary else "the API can't use the store for files: see the API's log"
    return _failed(FAILURES[code], details, headers=_RETRY_AFTER)


def _told(error: ServerError | StoreError) -> str:
    """Return the message for this client: only those that may read learn the cause."""
    return str(error) if may_read() else f"{error.public}: the API's log has details for request {g.request_id}"


def _outcome_unknown(error: OutcomeUnknown) -> Response:
    if "job_id" not in g:
        return _failed(FAILURES["outcome_unknown"], _told(error), headers=_RETRY_AFTER)
    details = (
        "the job may or may not have been accepted; repeat the request with the same Idempotency-Key, "
        f"or check {own_url('/api/v1/jobs/')}{g.job_id} once the queue is available again"
    )
    return _failed(FAILURES["outcome_unknown"], details, headers=_RETRY_AFTER, job_id=g.job_id)


def _not_replicated(error: NotReplicated) -> Response:
    details = f"{_told(error)}. Repeat the request with the same Idempotency-Key until it is confirmed"
    ids = error.job_ids
    more: dict[str, Any] = {"job_id": ids[0]} if len(ids) == 1 else {"job_ids": list(ids)}
    return _failed(FAILURES[error.code], details, headers=_RETRY_AFTER, **more)


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
    if isinstance(error, RequestEntityTooLarge) and error.description == RequestEntityTooLarge.description:
        return f"the body is larger than {context().settings.server_max_body} bytes (SERVER_MAX_BODY)"
    if error.code == 404:
        return f"{request.method} {own_url(request.path):.200}: see GET {own_url('/')} for the list of endpoints"
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

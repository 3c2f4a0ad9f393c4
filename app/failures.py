"""Whatever goes wrong becomes one shape of JSON: a sentence, a stable code, what exactly and where."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, RequestEntityTooLarge

from gopher.errors import (
    ConfigurationError,
    InvalidJob,
    JobConflict,
    JobNotFound,
    OutcomeUnknown,
    RetryNotFound,
    ScheduleNotFound,
    ServerError,
)
from gopher.idempotency import IdempotencyMismatch
from gopher.logs import get_logger
from gopher.submission import InvalidBatch

from .answers import answer
from .context import context
from .requests import discard_body

_log = get_logger("api")
View = Callable[[HTTPException], Response]


class Failure(NamedTuple):
    """A status with its code and sentence."""

    status: int
    code: str
    error: str


_BY_CODE = {
    "invalid_json": Failure(400, "invalid_json", "What was sent is not valid JSON."),
    "invalid_job": Failure(400, "invalid_job", "The request breaks a rule."),
    "unknown_type": Failure(400, "unknown_type", "There is no such job type."),
    "payload_too_large": Failure(413, "payload_too_large", "The payload is too large."),
    "queue_unavailable": Failure(503, "queue_unavailable", "The queue can't be reached. Nothing was stored."),
    "queue_full": Failure(503, "queue_full", "The queue is full. Nothing was stored."),
    "storage_full": Failure(503, "storage_full", "The queue can't write to its disk. Nothing was stored."),
    "busy": Failure(503, "busy", "The queue is busy. Nothing was stored."),
    "outcome_unknown": Failure(503, "outcome_unknown", "It is not known whether this was done."),
}
_BY_STATUS = {
    400: Failure(400, "bad_request", "The request can't be read."),
    401: Failure(401, "unauthorized", "This needs an API key."),
    403: Failure(403, "forbidden", "This is not allowed."),
    404: Failure(404, "not_found", "There is nothing at this address."),
    405: Failure(405, "method_not_allowed", "This address does not know that method."),
    413: Failure(413, "payload_too_large", "The request is too large."),
    415: Failure(415, "unsupported_media_type", "The API takes JSON."),
}
_NO_JOB = Failure(404, "not_found", "There is no such job.")
_NO_SCHEDULE = Failure(404, "not_found", "There is no such schedule.")
_NO_RETRY = Failure(404, "not_found", "There is no such retry of dead letters.")
_MISMATCH = Failure(422, "idempotency_mismatch", "This Idempotency-Key stands for another request.")
_CONFLICT = Failure(409, "conflict", "The job's state does not allow this.")
_INTERNAL = Failure(500, "internal", "Something went wrong on our side.")
_RETRY_AFTER = {"Retry-After": "1"}


def install(app: Flask, track: Callable[[View], View]) -> None:
    """Register the error handlers; `track` counts a view's answers, for requests that reach none."""
    app.register_error_handler(InvalidJob, _invalid)
    app.register_error_handler(JobNotFound, lambda error: _failed(_NO_JOB, str(error)))
    app.register_error_handler(JobConflict, lambda error: _failed(_CONFLICT, str(error)))
    app.register_error_handler(ScheduleNotFound, lambda error: _failed(_NO_SCHEDULE, str(error)))
    app.register_error_handler(RetryNotFound, lambda error: _failed(_NO_RETRY, str(error)))
    app.register_error_handler(IdempotencyMismatch, lambda error: _failed(_MISMATCH, str(error)))
    app.register_error_handler(ServerError, _server_error)
    app.register_error_handler(ConfigurationError, _misconfigured)
    app.register_error_handler(Exception, _unexpected)
    tracked = track(_http)

    def http(error: HTTPException) -> Response:
        return _http(error) if "in_view" in g else tracked(error)

    app.register_error_handler(HTTPException, http)


def _failed(failure: Failure, details: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    body = {"error": failure.error, "code": failure.code, "details": details, **more, "request_id": g.request_id}
    return answer(body, failure.status, headers)


def _invalid(error: InvalidJob) -> Response:
    more: dict[str, Any] = {"field": error.field} if error.field else {}
    if isinstance(error, InvalidBatch):
        more["errors"] = [
            {"index": index, "field": each.field, "code": each.code, "details": each.details}
            for index, each in error.errors
        ]
        return _failed(_BY_CODE["invalid_job"], error.details, **more)
    return _failed(_BY_CODE[error.code], error.details, **more)


def _server_error(error: ServerError) -> Response:
    _log.warning("server", code=error.code, details=str(error))
    if isinstance(error, OutcomeUnknown):
        return _outcome_unknown(error)
    return _failed(_BY_CODE[error.code], str(error), headers=_RETRY_AFTER)


def _outcome_unknown(error: OutcomeUnknown) -> Response:
    if "job_id" not in g:
        return _failed(_BY_CODE["outcome_unknown"], str(error), headers=_RETRY_AFTER)
    details = (
        "it is not known whether the job was accepted; repeat with the same Idempotency-Key, "
        f"or ask for /api/v1/jobs/{g.job_id} once the queue is back"
    )
    return _failed(_BY_CODE["outcome_unknown"], details, headers=_RETRY_AFTER, job_id=g.job_id)


def _misconfigured(error: ConfigurationError) -> Response:
    # A password or permission that the server refuses: the log says which, the caller can do nothing about it.
    _log.error("configuration", details=str(error))
    details = "the API can't use its server; its log says why"
    return _failed(_BY_CODE["queue_unavailable"], details, headers=_RETRY_AFTER)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        return error.get_response()  # type: ignore[return-value]
    if not isinstance(error, ClientDisconnected):
        discard_body()
    failure = _BY_STATUS.get(status) or Failure(status, "http_error", error.name)
    return _failed(failure, _details(error), headers=_headers(error))


def _details(error: HTTPException) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return f"the body is larger than {context().settings.server_max_body} bytes (SERVER_MAX_BODY)"
    if error.code == 404:
        return f"{request.method} {request.path:.200}: see / for what there is"
    if isinstance(error, MethodNotAllowed):
        return f"{request.method:.20} is not known here: {', '.join(sorted(error.valid_methods or ()))} are"
    return error.description or error.name


def _headers(error: HTTPException) -> dict[str, str]:
    """Return those headers of an error that say something: Allow, WWW-Authenticate."""
    headers = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type",)}
    return {**headers, "WWW-Authenticate": "Bearer"} if error.code == 401 else headers


def _unexpected(error: Exception) -> Response:
    _log.exception("unexpected error", exc_info=error)
    return _failed(_INTERNAL, f"the log has it under request {g.request_id}")

"""Calls of the HTTP API: sends them, retries idempotent ones, and converts errors."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpcore
import msgspec

from gopher import __version__
from gopher.base.names import JOB_ID, canonical_id
from gopher.base.pauses import pauses
from gopher.config.tls import tls_context
from gopher.errors import (
    AccessRefused,
    ApiTooOld,
    ApiUnavailable,
    BatchNotFound,
    CancellationNotFound,
    ConfigurationError,
    DuplicateJob,
    GopherError,
    InvalidJob,
    InvalidJson,
    JobConflict,
    JobNotFound,
    KeyNotFound,
    NotReplicated,
    NoWorker,
    OutcomeUnknown,
    PayloadTooLarge,
    QueueBusy,
    QueueFull,
    QueueLimit,
    QueueUnavailable,
    RedriveNotFound,
    RoleNeeded,
    ScheduleChanged,
    ScheduleNotFound,
    ServerError,
    StorageFull,
    TooManyQueues,
    UnknownQueue,
    UnknownType,
    UnsupportedFile,
    UploadLimit,
    WebhookNotFound,
    WorkerNotFound,
)
from gopher.files.store import FileMissing, StoreFull, StoreUnavailable
from gopher.jobs.submission import InvalidBatch
from gopher.queue.idempotency import IdempotencyMismatch
from gopher.server.executor import PATIENCE

#: Timeouts in seconds: to connect, and for a response in addition to the call's own waiting time.
_CONNECT, _ANSWER = 5.0, 30.0
#: How many redirects of a download are followed.
_REDIRECTS = 4
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)

_INVALID: dict[str, type[InvalidJob]] = {
    "invalid_json": InvalidJson,
    "unknown_type": UnknownType,
    "no_worker": NoWorker,
    "duplicate": DuplicateJob,
    "forbidden": RoleNeeded,
    "payload_too_large": PayloadTooLarge,
    "too_many_queues": TooManyQueues,
    "unknown_queue": UnknownQueue,
    "queue_limit": QueueLimit,
    "upload_limit": UploadLimit,
    "unsupported_media_type": UnsupportedFile,
}
_OTHERS: dict[str, type[GopherError]] = {
    "conflict": JobConflict,
    "precondition_failed": ScheduleChanged,
    "idempotency_mismatch": IdempotencyMismatch,
    "queue_unavailable": QueueUnavailable,
    "queue_full": QueueFull,
    "storage_full": StorageFull,
    "busy": QueueBusy,
    "store_full": StoreFull,
    "store_unavailable": StoreUnavailable,
    "outcome_unknown": OutcomeUnknown,
    "unauthorized": AccessRefused,
    "forbidden": AccessRefused,
}
#: What is missing with 404, by the beginning of the path; otherwise a job.
_MISSING: dict[str, type[GopherError]] = {
    "/api/v1/schedules/": ScheduleNotFound,
    "/api/v1/dlq/redrives/": RedriveNotFound,
    "/api/v1/dlq/retries/": RedriveNotFound,
    "/api/v1/jobs/cancellations/": CancellationNotFound,
    "/api/v1/keys/": KeyNotFound,
    "/api/v1/workers/": WorkerNotFound,
    "/api/v1/batches/": BatchNotFound,
    "/api/v1/webhooks/deliveries/": JobNotFound,
    "/api/v1/webhooks/": WebhookNotFound,
}
#: What an API says of a path that it does not have.
_UNKNOWN_PATH = re.compile(r"[A-Z]+ /.*: see ")
_JOBS = "/api/v1/jobs/"


class Answer(NamedTuple):
    """A response of the API; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Entry(msgspec.Struct):
    """The error of one entry of a batch."""

    index: int
    code: str
    details: str
    field: str | None = None


class _Problem(msgspec.Struct):
    """The body of an error."""

    code: str
    error: str = ""
    details: str = ""
    field: str | None = None
    errors: list[_Entry] = []
    job_id: str | None = None
    job_ids: list[str] = []


class Api:
    """An API by URL and key. Threads may share it; create a new one after a fork."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": f"gopher/{__version__}", "Accept": "application/json"}
        if key:
            if not key.isascii() or not key.isprintable():
                raise ConfigurationError("GOPHER_API_KEY: expected printable ASCII, without spaces or line ends")
            self._headers["Authorization"] = f"Bearer {key}"
        # Loading the certificate authorities is slow, thus only for https.
        context = tls_context() if self.url.startswith("https:") else None
        self._pool = httpcore.ConnectionPool(ssl_context=context, max_connections=10, keepalive_expiry=5.0)

    def close(self) -> None:
        self._pool.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, wait: float = 0.0) -> bytes:
        return self.call("GET", path, query=query, wait=wait).body

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        accepted: tuple[int, ...] = (),
    ) -> Answer:
        """Send a request and return the response. Raises the error that an error response means.

        Only GET, PUT and requests with an Idempotency-Key are retried; others could take effect twice. Statuses in
        `accepted` are not errors. A body is JSON unless `headers` say otherwise.
        """
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}{path}{'?' + urlencode(asked) if asked else ''}"
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        answer = self._exchange(method, url, sent, body, wait)
        is_json = "json" in answer.headers.get("content-type", "")
        if not is_json or (answer.status >= 300 and answer.status not in accepted):
            raise _meaning(answer, method, path, self.url)
        return answer

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """Yield the content of a file in pieces, also if another host has it. Raises as `call` does."""
        url, sent = f"{self.url}{path}", self._headers
        timeout = dict.fromkeys(("connect", "pool", "write", "read"), _ANSWER)
        try:
            for _ in range(_REDIRECTS):
                made = self._pool.stream("GET", url, headers=list(sent.items()), extensions={"timeout": timeout})
                with made as response:
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
                    if response.status in (302, 307) and "location" in headers:
                        # The key is for the API only.
                        url, sent = urljoin(url, headers["location"]), {"User-Agent": self._headers["User-Agent"]}
                        continue
                    if response.status != 200:
                        raise _meaning(Answer(response.status, headers, response.read()), "GET", path, self.url)
                    yield response.iter_stream()
                    return
        except _BROKEN as error:
            raise self._not_reached(error) from error
        raise ApiUnavailable(f"{self.url} redirects without end")

    def ask(self, method: str, path: str, *, body: bytes | None = None, limit: float = _ANSWER) -> Answer:
        """Send a request once, and return its answer whatever it says. Raises ApiUnavailable."""
        timeout = dict.fromkeys(("connect", "pool", "write", "read"), limit)
        sent = {**self._headers, "Connection": "close"}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            return self._send(method, f"{self.url}{path}", sent, body, timeout)
        except _BROKEN as error:
            raise self._not_reached(error) from error

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        timeout: Mapping[str, float],
    ) -> Answer:
        # Iterated again if the connection turns out to be closed, so no iterator.
        content = cast("Iterator[bytes]", body)
        made = self._pool.request(
            method, url, headers=list(headers.items()), content=content, extensions={"timeout": timeout}
        )
        names = {name.decode().lower(): value.decode("latin-1") for name, value in made.headers}
        return Answer(made.status, names, made.content)

    def _not_reached(self, error: Exception) -> ApiUnavailable:
        return ApiUnavailable(f"the API at {self.url} is unreachable ({_reason(error)})")

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None, wait: float
    ) -> Answer:
        timeout = {"connect": _CONNECT, "pool": _CONNECT, "write": _ANSWER, "read": _ANSWER + wait}
        give_up_at, sent = time.monotonic() + PATIENCE, False
        # A repeat of what had to be new would find what it has created.
        repeatable = (method in ("GET", "PUT") and "If-None-Match" not in headers) or "Idempotency-Key" in headers
        for pause in pauses():
            try:
                return self._send(method, url, headers, body, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
                problem: Exception = error
            except _BROKEN as error:
                sent, problem = True, error
            if time.monotonic() + pause > give_up_at or (sent and not repeatable):
                break
            time.sleep(pause)
        if sent and method != "GET":
            raise OutcomeUnknown(
                f"the API's response was lost ({_reason(problem)}): the request may or may not have taken effect"
            ) from problem
        raise self._not_reached(problem) from problem


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def segment(name: str) -> str:
    """Quote a name for a path. Raises InvalidJob for an invalid name."""
    if "/" in name or not name:
        raise InvalidJob(f"is {name!r:.60}: a name has at least one character, and no slash", "/name")
    return quote(name, safe="")


def job_segment(job_id: str) -> str:
    """Quote a job id for a path. Raises JobNotFound for an invalid id."""
    if not JOB_ID.fullmatch(canonical_id(job_id)):
        raise JobNotFound(f"there is no job {job_id}, or its record has expired")
    return canonical_id(job_id)


def check_url(url: str) -> str:
    """Validate the URL of an API. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
        raise ConfigurationError(f"GOPHER_URL={url!r:.200}: expected a URL such as https://gopher.example.com")
    return url.rstrip("/")


def _meaning(answer: Answer, method: str, path: str, url: str) -> GopherError:
    """Return the error that a response means."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except msgspec.DecodeError:
        where = f", a redirect to {answer.headers['location']}" if "location" in answer.headers else ""
        return ApiUnavailable(f"{url} responded with {answer.status}{where}: this is not a Gopher API")
    said = problem.details or problem.error
    if problem.errors:
        return InvalidBatch([(each.index, _invalid(each.code, each.details, each.field)) for each in problem.errors])
    if problem.code == NotReplicated.code:
        return NotReplicated(said, problem.job_ids if problem.job_id is None else [problem.job_id])
    if problem.code in _OTHERS:
        return _OTHERS[problem.code](said)
    if answer.status in (404, 405):
        return _missing(problem, method, path, url)
    if problem.code == "rate_limited":
        return QueueBusy(f"the API's rate limit is exceeded: {said}")
    if answer.status < 500:
        error = _invalid(problem.code, said, problem.field)
        if isinstance(error, DuplicateJob):
            error.job_id = problem.job_id or ""
        return error
    return ServerError(f"the API responded with {answer.status}: {said}")


def _missing(problem: _Problem, method: str, path: str, url: str) -> GopherError:
    """Return what it means that an API does not have a thing, or not the call itself."""
    said = problem.details or problem.error
    # An earlier release takes what is new beside the ids of jobs for one.
    name = path.removeprefix(_JOBS) if path.startswith(_JOBS) else ""
    is_no_id = name != "" and "/" not in name and not JOB_ID.fullmatch(name)
    if problem.code == "method_not_allowed" or is_no_id or _UNKNOWN_PATH.match(said):
        return ApiTooOld(
            f"the API at {url} does not know {method} {path}: its release is older than this client's, {__version__}"
        )
    if problem.error.startswith("File"):
        return FileMissing(said)
    return next((kind for start, kind in _MISSING.items() if path.startswith(start)), JobNotFound)(said)


def _invalid(code: str, details: str, field: str | None) -> InvalidJob:
    return _INVALID.get(code, InvalidJob)(details, field)

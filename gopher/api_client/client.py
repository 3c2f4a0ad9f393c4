"""Gopher over its HTTP API, from Python: what `Client` does, for who does not reach the server itself."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from gopher.base.states import ENDED
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, InvalidJob, QueueUnavailable
from gopher.interface import Stored
from gopher.jobs.decoding import decode
from gopher.jobs.dry_run import DryRun
from gopher.jobs.models import Accepted, JobView, LogLine, Page, Reason, Stats, TypeView, WorkerView
from gopher.jobs.submission import InvalidBatch, Submission, submission_of
from gopher.reads.health import Health
from gopher.reads.timeline import Timeline

from .decode import read_view
from .operations import HttpDeadLetters, HttpFlow, HttpSchedules
from .transport import Answer, Api, check_url, job_segment, segment

_JOBS = "/api/v1/jobs"
_RAW = msgspec.json.Decoder(msgspec.Raw)
#: Seconds that the API lets a request wait for a job at most, and jobs and bytes of one request here.
_LONGEST_WAIT, _BULK, _BULK_BYTES = 20.0, 1000, 900 * 1024


class HttpClient:
    """Submits jobs and manages them over an API. It does what `Client` does, and the methods are the same.

    `url` and `key` default to `GOPHER_URL` and `GOPHER_API_KEY`. The API checks types and payloads. Raises what
    `Client` raises; AccessRefused when the key is not known or may not do that, ApiUnavailable when nobody answers.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        if url is None:
            settings = Settings.from_env()
            url, key = settings.url, settings.api_key if key is None else key
        if url is None:
            raise ConfigurationError("say where the API is: HttpClient('https://...'), or GOPHER_URL")
        self._api = Api(check_url(url), key)
        self.dead_letters = HttpDeadLetters(self._api)
        self.flow = HttpFlow(self._api)
        self.schedules = HttpSchedules(self._api)

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._api.close()

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Any) -> str:
        """Submit a job and return its id. `options` are the fields of `Submission`."""
        return self.submit(submission_of({"type": job_type, "payload": payload, **options})).job_id

    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]]) -> list[str]:
        """Submit many jobs and return their ids in order; they go in pieces of 1,000, each whole or not at all."""
        texts = (msgspec.json.encode(submission_of(job)) for job in jobs)
        return [stored.job_id for piece in _pieces(texts) for stored in self.submit_batch(piece)]

    def submit(self, submission: Submission) -> Accepted:
        """Submit a job; what was submitted is answered."""
        return read_view(Accepted, self._send(_JOBS, msgspec.json.encode(submission), str(uuid4())).body)

    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs that are JSON as the API takes it, together or not at all. Raises InvalidBatch."""
        _check_entries(entries)
        body = b'{"jobs":[' + b",".join(entries) + b"]}"
        answer = self._send(f"{_JOBS}/batch", body, idempotency_key or str(uuid4()))
        replayed = answer.headers.get("idempotent-replayed") == "true"
        accepted = msgspec.json.decode(answer.body, type=dict[str, list[Accepted]])["jobs"]
        return [Stored(each.job_id, each.duplicate, replayed, each.status, each.priority) for each in accepted]

    def dry_run_submission(self, submission: Submission) -> DryRun:
        """Return how a job would be dealt with, without storing it."""
        answer = self._api.call("POST", _JOBS, query={"dry_run": 1}, body=msgspec.json.encode(submission))
        return read_view(DryRun, answer.body)

    def run_schedule(self, name: str) -> str:
        """Make a job of a schedule now, once; return its id. Raises ScheduleNotFound."""
        return str(_member(self._api.call("POST", f"/api/v1/schedules/{segment(name)}/run").body, "job_id"))

    # Looking

    def job(self, job_id: str) -> JobView:
        """Return a job. Raises JobNotFound."""
        return read_view(JobView, self._api.get(f"{_JOBS}/{job_segment(job_id)}"))

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has ended, or as it stands after `timeout` seconds. Raises JobNotFound."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = min(max(until - time.monotonic(), 0.0), _LONGEST_WAIT)
            asked, path = time.monotonic(), f"{_JOBS}/{job_segment(job_id)}"
            view = read_view(JobView, self._api.get(path, {"wait": f"{left:.3f}"} if left else None, wait=left))
            if view.status in ENDED or time.monotonic() >= until:
                return view
            if time.monotonic() - asked < left / 2:
                # The API had no thread to spare for one more that waits.
                time.sleep(min(1.0, left))

    def jobs(
        self,
        *,
        status: str | None = None,
        job_type: str | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return a page of jobs, newest first."""
        query = {"status": status, "type": job_type, "queue": queue, "limit": limit, "cursor": cursor}
        return read_view(Page, self._api.get(_JOBS, query))

    def logs(self, job_id: str) -> list[LogLine]:
        """Return what a job's attempts have logged. Raises JobNotFound."""
        body = self._api.get(f"{_JOBS}/{job_segment(job_id)}/logs")
        return msgspec.convert(_member(body, "lines"), list[LogLine])

    def why(self, job_id: str) -> list[Reason]:
        """Return why a job isn't running yet, the first obstacle first. Raises JobNotFound."""
        return msgspec.convert(_member(self._api.get(f"{_JOBS}/{job_segment(job_id)}/why"), "reasons"), list[Reason])

    def stats(self) -> Stats:
        return read_view(Stats, self._api.get("/api/v1/queue/stats"))

    def timeline(self, window: str | float = "1h", queue: str | None = None) -> Timeline:
        """Return what happened in the last hour, say, in steps: a plot's points. Raises InvalidJob."""
        return read_view(Timeline, self._api.get("/api/v1/timeline", {"window": window, "queue": queue}))

    def workers(self) -> list[WorkerView]:
        return msgspec.convert(_member(self._api.get("/api/v1/workers"), "workers"), list[WorkerView])

    def types(self) -> list[TypeView]:
        """Return the job types that the API takes."""
        return msgspec.convert(_member(self._api.get(f"{_JOBS}/types"), "types"), list[TypeView])

    def health(self) -> Health:
        """Return how server, workers and scheduler are. Raises QueueUnavailable when the server can't be used."""
        answer = self._api.call("GET", "/health", accepted=(503,))
        if answer.status == 503:
            raise QueueUnavailable(str(_member(answer.body, "error")))
        return read_view(Health, answer.body)

    # Acting

    def cancel(self, job_id: str) -> str:
        """Cancel a job: return `cancelled`, or `processing` when its child is being stopped."""
        return str(_member(self._api.call("POST", f"{_JOBS}/{job_segment(job_id)}/cancel").body, "status"))

    def purge(self, queue: str, state: str, progress: Callable[[int], None] = lambda count: None) -> int:
        """Delete all jobs of a queue that wait in `state`; return how many. The API tells no progress."""
        answer = self._api.call("DELETE", f"/api/v1/queues/{segment(queue)}", query={"state": state})
        return int(_member(answer.body, "count"))

    def _send(self, path: str, body: bytes, key: str) -> Answer:
        return self._api.call("POST", path, body=body, headers={"Idempotency-Key": key})


def _member(body: bytes, name: str) -> Any:
    return msgspec.json.decode(body)[name]


def _check_entries(entries: Sequence[bytes]) -> None:
    """Raise InvalidBatch for entries that are no JSON: among others they would be refused without saying which, and
    one that holds two values would move the places of all after it."""
    errors = []
    for index, entry in enumerate(entries):
        try:
            decode(_RAW, entry)
        except InvalidJob as error:
            errors.append((index, error))
    if errors:
        raise InvalidBatch(errors)


def _pieces(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for text in texts:
        if len(piece) == _BULK or (piece and size + len(text) > _BULK_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(text)
        size += len(text)
    if piece:
        yield piece

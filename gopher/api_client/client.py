"""Gopher over its HTTP API, from Python: what `Client` does, for who does not reach the server itself."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack
from uuid import uuid4

import msgspec

from gopher.base.states import ENDED
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, InvalidJob, QueueUnavailable
from gopher.interface import Gopher, Stored
from gopher.interface.operation import Operation, declaration_of
from gopher.jobs.answers import BatchAccepted
from gopher.jobs.decoding import decode
from gopher.jobs.dry_run import DryRun
from gopher.jobs.models import Accepted, JobView
from gopher.jobs.submission import InvalidBatch, JobFields, Submission, SubmitOptions, submission_of
from gopher.reads.health import Health

from .decode import read
from .operations import HttpDeadLetters, HttpFlow, HttpSchedules, OverHttp, path_of, send
from .transport import Answer, Api, check_url

_SUBMIT, _SUBMIT_BATCH = declaration_of(Gopher.submit), declaration_of(Gopher.submit_batch)
_RAW = msgspec.json.Decoder(msgspec.Raw)
#: Seconds that the API lets a request wait for a job at most, and jobs and bytes of one request here.
_LONGEST_WAIT, _BULK, _BULK_BYTES = 20.0, 1000, 900 * 1024


class HttpClient(OverHttp, Gopher):
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
        super().__init__(Api(check_url(url), key))
        self.dead_letters: HttpDeadLetters = HttpDeadLetters(self._api)
        self.flow: HttpFlow = HttpFlow(self._api)
        self.schedules: HttpSchedules = HttpSchedules(self._api)

    def close(self) -> None:
        """Let the connections go."""
        self._api.close()

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id. `options` are the fields of `Submission`."""
        return self.submit(submission_of({"type": job_type, "payload": payload, **options})).job_id

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs and return their ids in order; they go in pieces of 1,000, each whole or not at all."""
        texts = (msgspec.json.encode(submission_of(job)) for job in jobs)
        return [stored.job_id for piece in _pieces(texts) for stored in self.submit_batch(piece)]

    def submit(self, submission: Submission) -> Accepted:
        """Submit a job; what was submitted is answered."""
        return read(Accepted, self._store(_SUBMIT, msgspec.json.encode(submission), str(uuid4())).body)

    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs that are JSON as the API takes it, together or not at all. Raises InvalidBatch."""
        _check_entries(entries)
        body = b'{"jobs":[' + b",".join(entries) + b"]}"
        answer = self._store(_SUBMIT_BATCH, body, idempotency_key or str(uuid4()))
        replayed = answer.headers.get("idempotent-replayed") == "true"
        accepted = read(BatchAccepted, answer.body).jobs
        return [Stored(each.job_id, each.duplicate, replayed, each.status, each.priority) for each in accepted]

    def dry_run_submission(self, submission: Submission) -> DryRun:
        """Return how a job would be dealt with, without storing it."""
        body = msgspec.json.encode(submission)
        return read(DryRun, self._api.call("POST", _SUBMIT.route, query={"dry_run": 1}, body=body).body)

    # Looking

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has ended, or as it stands after `timeout` seconds. Raises JobNotFound."""
        path = path_of(declaration_of(Gopher.job), {"job_id": job_id})
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = min(max(until - time.monotonic(), 0.0), _LONGEST_WAIT)
            asked = time.monotonic()
            view = read(JobView, self._api.get(path, {"wait": f"{left:.3f}"} if left else None, wait=left))
            if view.status in ENDED or time.monotonic() >= until:
                return view
            if time.monotonic() - asked < left / 2:
                # The API had no thread to spare for one more that waits.
                time.sleep(min(1.0, left))

    def health(self) -> Health:
        """Return how server, workers and scheduler are. Raises QueueUnavailable when the server can't be used."""
        answer = send(self._api, declaration_of(Gopher.health), {}, accepted=(503,))
        if answer.status == 503:
            raise QueueUnavailable(msgspec.json.decode(answer.body)["error"])
        return read(Health, answer.body)

    def _store(self, declared: Operation, body: bytes, key: str) -> Answer:
        return send(self._api, declared, {}, body=body, headers={"Idempotency-Key": key})


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

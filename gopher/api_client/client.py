"""A Python client of the HTTP API with the interface of `Client`, where the server itself is not reachable."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack
from uuid import uuid4

import msgspec

from gopher.base.states import ENDED
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, InvalidJob, QueueUnavailable
from gopher.interface.complete import Gopher
from gopher.interface.operation import Operation, declaration_of
from gopher.interface.stored import Stored
from gopher.interface.submissions import with_ids
from gopher.jobs.answers import BatchAccepted
from gopher.jobs.decoding import decode
from gopher.jobs.dry_run import DryRun
from gopher.jobs.models import Accepted, JobView
from gopher.jobs.submission import InvalidBatch, JobFields, Submission, SubmitOptions, submission_of
from gopher.reads.health import Health

from .decode import read
from .files import HttpFiles
from .operations import (
    HttpBatches,
    HttpDeadLetters,
    HttpFleet,
    HttpFlow,
    HttpKeys,
    HttpSchedules,
    HttpWaiting,
    HttpWebhooks,
    OverHttp,
    path_of,
    send,
    wait_for,
)
from .transport import Answer, Api, check_url

_SUBMIT, _SUBMIT_BATCH = declaration_of(Gopher.submit), declaration_of(Gopher.submit_batch)
_RAW = msgspec.json.Decoder(msgspec.Raw)
#: Maximum jobs and bytes per request of this client.
_BULK, _BULK_BYTES = 1000, 900 * 1024


class HttpClient(OverHttp, Gopher):
    """Submits and manages jobs over the API, with the same methods as `Client`.

    `url` and `key` default to `GOPHER_URL` and `GOPHER_API_KEY`. The API validates types and payloads. Raises what
    `Client` raises; AccessRefused if the key is unknown or lacks the role, ApiUnavailable if the API is unreachable.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        if url is None:
            settings = Settings.for_client(uses=("url", "api_key"))
            url, key = settings.url, settings.api_key if key is None else key
        if url is None:
            raise ConfigurationError("no API URL: use HttpClient('https://...'), or set GOPHER_URL")
        super().__init__(Api(check_url(url), key))
        self.batches: HttpBatches = HttpBatches(self._api)
        self.dead_letters: HttpDeadLetters = HttpDeadLetters(self._api)
        self.flow: HttpFlow = HttpFlow(self._api)
        self.schedules: HttpSchedules = HttpSchedules(self._api)
        self.keys: HttpKeys = HttpKeys(self._api)
        self.fleet: HttpFleet = HttpFleet(self._api)
        self.waiting: HttpWaiting = HttpWaiting(self._api)
        self.webhooks: HttpWebhooks = HttpWebhooks(self._api)
        self.files: HttpFiles = HttpFiles(self._api)

    def close(self) -> None:
        """Let the connections go."""
        self._api.close()

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id. `options` are the fields of `Submission`."""
        fields = {"type": job_type, "payload": payload, **with_ids(self, options)}
        return self.submit(submission_of(fields)).job_id

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs and return their ids in order; they are sent in batches of 1,000, each atomic."""
        texts = (msgspec.json.encode(submission_of(with_ids(self, job))) for job in jobs)
        return [stored.job_id for piece in _pieces(texts) for stored in self.submit_batch(piece)]

    def submit(self, submission: Submission) -> Accepted:
        """Submit a job and return its details."""
        return read(Accepted, self._store(_SUBMIT, msgspec.json.encode(submission), str(uuid4())).body)

    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs as JSON in the API's format, all or none. Raises InvalidBatch."""
        _check_entries(entries)
        body = b'{"jobs":[' + b",".join(entries) + b"]}"
        answer = self._store(_SUBMIT_BATCH, body, idempotency_key or str(uuid4()))
        replayed = answer.headers.get("idempotent-replayed") == "true"
        accepted = read(BatchAccepted, answer.body).jobs
        return [
            Stored(each.job_id, each.duplicate, replayed, each.status, each.priority, each.replaced)
            for each in accepted
        ]

    def dry_run_submission(self, submission: Submission) -> DryRun:
        """Return what would happen to a job, without storing it."""
        body = msgspec.json.encode(submission)
        return read(DryRun, self._api.call("POST", _SUBMIT.route, query={"dry_run": 1}, body=body).body)

    # Looking

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound."""
        path = path_of(declaration_of(Gopher.job), {"job_id": job_id})
        return wait_for(self._api, path, JobView, lambda view: view.status in ENDED, timeout)

    def health(self) -> Health:
        """Return the health of server, workers and scheduler. Raises QueueUnavailable if the server is unavailable."""
        answer = send(self._api, declaration_of(Gopher.health), {}, accepted=(503,))
        if answer.status == 503:
            told = msgspec.json.decode(answer.body)
            raise QueueUnavailable(told.get("error", "the API's server is unavailable"))
        return read(Health, answer.body)

    def _store(self, declared: Operation, body: bytes, key: str) -> Answer:
        return send(self._api, declared, {}, body=body, headers={"Idempotency-Key": key})


def _check_entries(entries: Sequence[bytes]) -> None:
    """Raise InvalidBatch for entries that are not JSON: in a batch they would be rejected without their index, and an
    entry with two values would shift the indexes of all entries after it."""
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

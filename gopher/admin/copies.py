"""Copies of jobs: new jobs with the same options, and the same payload or another one."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET

from gopher.base.salvage import text, whole
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, ServerError
from gopher.files.large_payloads import payload_file
from gopher.interface.stored import Stored
from gopher.jobs.callbacks import Callback
from gopher.jobs.job import Envelope, decode_envelope, with_field
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare
from gopher.jobs.registry import Registry
from gopher.jobs.submission import Submission, to_json
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server

from .files import Files

_FIELDS = ("type", "priority", "envelope", "retention", "bucket")


class Copies:
    """Submits copies of jobs."""

    def __init__(
        self, server: Server, store: Callable[..., list[Stored]], settings: Settings, registry: Registry, files: Files
    ) -> None:
        self._server = server
        self._store = store
        self._settings = settings
        self._registry = registry
        self._files = files

    def make(
        self, queue: str, job_id: str, payload: Any, to: str | None, priority: str | None, registry: Registry | None
    ) -> str:
        """Submit a copy of a job of a queue; return its id. Raises JobNotFound, InvalidJob, a ServerError."""
        (values,) = self._server.run(self._server.queue(queue).read_fields([job_id], _FIELDS))
        if values[0] is None or values[2] is None:
            raise no_such_job(self._server, job_id)
        envelope = _envelope(values[2])
        submission = _submission(values, envelope, self._payload(job_id, envelope, payload), to or queue, priority)
        job = prepare(
            submission,
            self._registry if registry is None else registry,
            as_declared=False,
            payload_max=self._settings.payload_max,
        )
        stored = with_field(job.envelope, b'"copied_from":"%s"' % job_id.encode())
        if envelope.files:
            self._files.claim_for_copy(envelope.files, job.id)
            stored = with_field(stored, b'"files":' + msgspec.json.encode(envelope.files))
        job = msgspec.structs.replace(job, envelope=stored)
        copy_id = self._store([job], submitter=Submitter(envelope.owner))[0].job_id
        # The copy is stored: that must not be answered with an error, since a repeat would store another one.
        with suppress(ServerError):
            self._server.run(self._server.queue(queue).note_copy(job_id, copy_id))
        return copy_id

    def _payload(self, job_id: str, envelope: Envelope, payload: Any) -> msgspec.Raw:
        if payload is not None:
            return msgspec.Raw(to_json(payload, "/payload"))
        if envelope.payload_is_file:
            return msgspec.Raw(self._files.read(job_id, payload_file(envelope)))
        return envelope.payload


def _envelope(data: bytes) -> Envelope:
    try:
        return decode_envelope(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidJob(f"of the job is corrupt, so it can't be copied: {error}", "/payload") from None


def _submission(
    values: Sequence[bytes | None], envelope: Envelope, payload: msgspec.Raw, queue: str, priority: str | None
) -> Submission:
    """Return what submits a job like the one with these fields of its record."""
    job_type, own_priority, _, retention, bucket = values
    return Submission(
        type=text(job_type or b""),
        payload=payload,
        queue=queue,
        priority=priority or (text(own_priority) if own_priority else UNSET),
        max_retries=envelope.max_retries,
        timeout=envelope.timeout,
        retry_for=envelope.retry_for,
        retention=None if retention is None else _seconds(retention),
        tenant=envelope.tenant or None,
        limit_key=text(bucket).partition("/")[2] or None if bucket else None,
        tags=list(envelope.tags),
        metadata=envelope.metadata,
        callback=_callback(envelope),
    )


def _callback(envelope: Envelope) -> Callback | None:
    try:
        return msgspec.convert(envelope.callback, Callback) if envelope.callback else None
    except msgspec.ValidationError as error:
        raise InvalidJob(f"of the job is corrupt, so it can't be copied: {error}", "/callback") from None


def _seconds(milliseconds: bytes) -> float:
    # Canaries of a redrive may have a longer one than their submission.
    return math.ceil(whole(milliseconds)) / 1000

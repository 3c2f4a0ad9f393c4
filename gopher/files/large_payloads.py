"""Payloads that are too large for a job's record: files of the job, to which the record refers.

A submission that replaces a job (`unique_mode`) stores its files with that one, under a name of its own, before the
record refers to them. If it turns out that another job, or none, is to be replaced, it stores them there.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from gopher.base.patterns import regex
from gopher.base.unique_modes import REPLACE
from gopher.errors import GopherError, OutcomeUnknown, QueueBusy
from gopher.jobs.job import Envelope, Job, NewJob, decode_envelope
from gopher.jobs.submission import MAX_PAYLOAD
from gopher.queue.arguments import Request
from gopher.queue.enqueued import Enqueued, stored_ids

from .names import job_key

PAYLOAD = "payload.json"
#: Of a payload that replaced another.
LATER_PAYLOAD = regex(r"payload-[0-9a-f-]{36}\.json")
#: How often the files of a submission follow the job that it replaces; each time another one was faster.
_MOVES = 50


class PayloadFiles(Protocol):
    """Where payloads are kept: see `admin.files.Files`."""

    def write_payloads(self, jobs: Sequence[NewJob]) -> tuple[list[NewJob], dict[str, str]]: ...
    def delete_payloads(self, keys: Iterable[str]) -> None: ...
    def claim_for(self, envelope: bytes, job_id: str) -> None: ...


def may_be_large(jobs: Sequence[NewJob]) -> bool:
    """Return whether the payload of one of the jobs may be larger than a record's may be."""
    return any(len(job.envelope) > MAX_PAYLOAD for job in jobs)


def without_payload(job: NewJob) -> tuple[NewJob, bytes]:
    """Return a job whose record refers to its payload, and the payload; b"" if that is small enough for the record."""
    envelope = decode_envelope(job.envelope)
    payload = bytes(envelope.payload)
    if len(payload) <= MAX_PAYLOAD:
        return job, b""
    reference = msgspec.Raw(b'{"$file":"%s","bytes":%d}' % (_name_for(job).encode(), len(payload)))
    referring = msgspec.structs.replace(envelope, payload=reference, payload_is_file=True)
    return msgspec.structs.replace(job, envelope=msgspec.json.encode(referring)), payload


def _name_for(job: NewJob) -> str:
    return PAYLOAD if job.folder in ("", job.id) else f"payload-{job.id}.json"


def key_for(job: NewJob) -> str:
    """Return the key of a new job's payload in the store."""
    return job_key(job.folder or job.id, _name_for(job))


def payload_file(envelope: Envelope) -> str:
    """Return the name of the file that has the payload; "" if the record has it."""
    if not envelope.payload_is_file:
        return ""
    return str(msgspec.json.decode(envelope.payload).get("$file", PAYLOAD))


def enqueue_with_files(
    files: PayloadFiles, jobs: Sequence[NewJob], enqueue: Callable[[Sequence[NewJob]], Enqueued]
) -> Enqueued:
    """Enqueue jobs of which some replace others, with their files: these have to be with the job that is replaced.

    `files` and `enqueue` are as in `with_payloads`.
    """
    jobs = [msgspec.structs.replace(job, folder=job.id) if _replaces_files(job) else job for job in jobs]
    for _ in range(_MOVES):
        reply = enqueue(jobs)
        if reply.kind != "MOVED":
            return reply
        places = [answer if answer != "NEW" else job.folder for job, answer in zip(jobs, reply.answers, strict=True)]
        jobs = [msgspec.structs.replace(job, folder=place) for job, place in zip(jobs, places, strict=True)]
        for job in jobs:
            if job.files and job.folder:
                files.claim_for(job.envelope, job.folder)
    raise QueueBusy("other submissions replace the job with this unique key all the time: try again in a moment")


def may_replace_files(jobs: Sequence[NewJob]) -> bool:
    """Return whether a job with files, or a large payload, replaces another one."""
    return any(map(_replaces_files, jobs))


def _replaces_files(job: NewJob) -> bool:
    return job.unique_mode == REPLACE and (bool(job.files) or len(job.envelope) > MAX_PAYLOAD)


def with_payloads(
    files: PayloadFiles,
    jobs: Sequence[NewJob],
    request: Request | None,
    enqueue: Callable[[Sequence[NewJob]], Enqueued],
) -> Enqueued:
    """Enqueue jobs of a queue whose payloads may be too large for records: those become files of their jobs.

    `request` is that of the call. Raises as `enqueue` does, and a StoreError.
    """
    referring, written = files.write_payloads(jobs)
    try:
        reply = enqueue(referring)
    except OutcomeUnknown:
        raise
    except GopherError:
        files.delete_payloads(written.values())
        raise
    # After an interruption, as when a coroutine is cancelled, the jobs may be stored as well as after OutcomeUnknown:
    # payloads without one are swept.
    if rejected := written.keys() - stored_ids(jobs, request, reply):
        files.delete_payloads(written[job_id] for job_id in rejected)
    return reply


def payload_of(job: Job, envelope: Envelope) -> bytes | msgspec.Raw:
    """Return the payload of a running job, wherever it is."""
    return job.stored_payload() if envelope.payload_is_file else envelope.payload

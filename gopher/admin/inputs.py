"""Reads what the handler of a job is given, as `fetch` hands it to a worker."""

from collections.abc import Callable, Sequence

import msgspec

from gopher.base.names import JOB_ID
from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.salvage import UNREADABLE, is_corrupt, raw_json, text, whole
from gopher.base.states import STATES
from gopher.errors import JobConflict
from gopher.files.large_payloads import payload_file
from gopher.jobs.files import SentFile
from gopher.jobs.inputs import JobInput, ParentResult
from gopher.jobs.job import Envelope, decode_envelope
from gopher.jobs.owners import whose
from gopher.queue.store import Server
from gopher.reads.jobs import Inspector, Place
from gopher.server.errors import explained
from gopher.server.round_trips import ask

_FIELDS = ("type", "state", "priority", "envelope", "attempts", "parents")
_OF_PARENT = ("type", "envelope", "result")
#: Parents that are read per round trip: each result may have 64 KiB.
_AT_ONCE = 100
_NOTHING = ParentResult(msgspec.Raw(b"null"), kept=False)


def envelope_of(server: Server, queue: str, job_id: str) -> Envelope:
    """Return what a job was submitted with. Raises JobConflict for a corrupt record."""
    with explained():
        (stored,) = ask(server.client, [("HGET", server.keys.for_queue(queue).job(job_id), "envelope")])
    return _decoded(job_id, stored)


def read_input(
    server: Server, inspector: Inspector, queue: str, job_id: str, may_see: Callable[[Place], bool]
) -> JobInput | None:
    """Return what a job's handler is given, None if the job is gone. Raises JobConflict for a corrupt record.

    Results of parents that the caller may not see are omitted, as are those that are not kept any more.
    """
    with explained():
        (record,) = ask(server.client, [("HMGET", server.keys.for_queue(queue).job(job_id), *_FIELDS)])
    if is_corrupt(record):
        raise JobConflict(f"the record of job {job_id} is corrupt")
    if not any(record):
        return None
    job_type, state, priority, stored, attempts, parents = record
    envelope = _decoded(job_id, stored)
    return JobInput(
        job_id=job_id,
        type=text(job_type or b""),
        status=STATES.get(text(state or b""), text(state or b"")),
        queue=queue,
        priority=text(priority) if priority else DEFAULT_PRIORITY,
        attempt=max(whole(attempts or 0), 1),
        max_retries=envelope.max_retries,
        timeout=envelope.timeout,
        payload=envelope.payload,
        payload_file=payload_file(envelope),
        metadata=envelope.metadata,
        tags=list(envelope.tags),
        batch=envelope.batch,
        owner=envelope.owner,
        tenant=envelope.tenant,
        traceparent=envelope.trace.get("traceparent", ""),
        files={name: SentFile(ref.name, ref.size, ref.content_type) for name, ref in envelope.files.items()},
        parents=_parents(server, inspector, queue, _ids(parents), may_see),
    )


def _decoded(job_id: str, stored: bytes | None) -> Envelope:
    try:
        envelope = decode_envelope(stored or b"")
        raw_json(envelope.payload)
    except UNREADABLE as error:
        raise JobConflict(f"the record of job {job_id} is corrupt: its payload can't be read ({error})") from None
    return envelope


def _ids(joined: bytes | None) -> list[str]:
    return [name for name in text(joined or b"").split(",") if JOB_ID.fullmatch(name)]


def _parents(
    server: Server, inspector: Inspector, queue: str, ids: Sequence[str], may_see: Callable[[Place], bool]
) -> dict[str, ParentResult]:
    keys, found = server.keys.for_queue(queue), dict[str, ParentResult]()
    for at in range(0, len(ids), _AT_ONCE):
        some = ids[at : at + _AT_ONCE]
        words = [
            command
            for parent in some
            for command in (("HMGET", keys.job(parent), *_OF_PARENT), ("GET", keys.parent_result(parent)))
        ]
        with explained():
            answers = ask(server.client, words)
        for parent, record, sent in zip(some, answers[0::2], answers[1::2], strict=True):
            job_type, envelope, result = (None, None, None) if is_corrupt(record) else record
            if job_type is None:
                # One of another queue: its record is there, and it has sent its result.
                is_shown = may_see is every or inspector.place(parent, may_see) is not None
                found[parent] = _result(sent) if is_shown and sent is not None else _NOTHING
            else:
                owned = whose(envelope or b"")
                is_shown = may_see(Place(queue, text(job_type), owned.owner, owned.tenant))
                found[parent] = _result(result) if is_shown else _NOTHING
    return found


def every(_place: Place) -> bool:
    """Let a caller see all jobs."""
    return True


def _result(stored: bytes | None) -> ParentResult:
    try:
        return ParentResult(raw_json(stored) if stored else msgspec.Raw(b"null"), kept=True)
    except UNREADABLE:
        return _NOTHING

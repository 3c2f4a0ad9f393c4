"""Bulk submissions from Python. Those with only a type and a payload are validated together."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from gopher.base.names import TYPE_NAME, check_name
from gopher.base.waiting import breathe
from gopher.errors import InvalidJob

from .conversion import encode_lines
from .defaults import declared_for
from .job import BARE_ENVELOPE, NewJob, new_job_ids, with_hint
from .prepare import prepare_fields
from .registry import Registry
from .strict_json import are_checked, check_finite
from .submission import MAX_PAYLOAD

#: How many are validated together, and up to which payload size in bytes: copying larger ones costs more.
_TOGETHER = 200
_SHORT = 2_000


def prepare_many(
    entries: Sequence[Mapping[str, Any]], registry: Registry | None = None, *, payload_max: int | None = None
) -> list[NewJob]:
    """Validate submissions like `prepare_fields` and convert them to jobs. Raises the first one's error."""
    ids = new_job_ids(len(entries))
    jobs: list[NewJob] = []
    for at in range(0, len(entries), _TOGETHER):
        breathe()
        jobs += _prepared(entries[at : at + _TOGETHER], registry, ids[at : at + _TOGETHER], payload_max)
    return jobs


def _prepared(
    entries: Sequence[Mapping[str, Any]], registry: Registry | None, ids: Sequence[str], payload_max: int | None
) -> list[NewJob]:
    try:
        return _bare_jobs(entries, registry, ids)
    except (InvalidJob, LookupError, TypeError, ValueError, RecursionError, OverflowError):
        # Validate one by one, to find out which is invalid and why, if any.
        pass
    return [_prepared_one(fields, registry, job_id, payload_max) for fields, job_id in zip(entries, ids, strict=True)]


def _prepared_one(fields: Mapping[str, Any], registry: Registry | None, job_id: str, payload_max: int | None) -> NewJob:
    job = prepare_fields(fields, registry, job_id=job_id, payload_max=payload_max)
    # The ids were created before the queues of the jobs were known.
    return job if job.queue == "default" else msgspec.structs.replace(job, id=with_hint(job_id, job.queue))


def _bare_jobs(entries: Sequence[Mapping[str, Any]], registry: Registry | None, ids: Sequence[str]) -> list[NewJob]:
    """Convert submissions with only a type and a short payload to jobs, with a few calls for all of them.

    Raises an exception unless all of them are certainly valid.
    """
    # The first one decides for all: the jobs of a call are usually alike.
    if {*map(len, entries)} != {2} or len(encode_lines([entries[0]["payload"]])) > _SHORT:
        raise InvalidJob("has other fields than a type and a short payload")
    types = [*map(itemgetter("type"), entries)]
    lines = encode_lines(map(itemgetter("payload"), entries))
    payloads = lines.split(b"\n")[:-1]
    is_usual = {*map(type, types)} == {str} and len(payloads) == len(entries) and max(map(len, payloads)) <= MAX_PAYLOAD
    if not is_usual or not are_checked(lines):
        raise InvalidJob("must be validated by itself")
    if b"null" in lines:
        for entry, payload in zip(entries, payloads, strict=True):
            check_finite(entry["payload"], payload, "/payload")
    for job_type in {*types}:
        check_name(TYPE_NAME, job_type, "/type")
        if declared_for(job_type, registry) is not None:
            raise InvalidJob("has more than a type and a payload, as its handler declares")
    if registry is not None and registry.checks:
        for job_type, payload in zip(types, payloads, strict=True):
            registry.require(job_type).validated(payload)
    return [
        NewJob(job_id, job_type, BARE_ENVELOPE % payload)
        for job_id, job_type, payload in zip(ids, types, payloads, strict=True)
    ]

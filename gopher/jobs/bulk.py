"""Many submissions from Python at once. Those that have nothing but a type and a payload are checked all together."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from gopher.base.names import TYPE_NAME, check_name
from gopher.errors import InvalidJob

from .defaults import declared_for
from .handlers import Registry
from .job import BARE_ENVELOPE, NewJob, new_job_ids, with_hint
from .prepare import prepare_fields
from .strict_json import are_checked
from .submission import MAX_PAYLOAD

_encode_lines = msgspec.json.Encoder().encode_lines

#: How many are checked together, where payloads are of about so many bytes: of longer ones the copies cost more.
_TOGETHER = 200
_SHORT = 2_000


def prepare_many(entries: Sequence[Mapping[str, Any]], registry: Registry | None = None) -> list[NewJob]:
    """Check submissions as `prepare_fields` does, and make them jobs. Raises what that raises for the first bad one."""
    ids = new_job_ids(len(entries))
    jobs: list[NewJob] = []
    for at in range(0, len(entries), _TOGETHER):
        jobs += _prepared(entries[at : at + _TOGETHER], registry, ids[at : at + _TOGETHER])
    return jobs


def _prepared(entries: Sequence[Mapping[str, Any]], registry: Registry | None, ids: Sequence[str]) -> list[NewJob]:
    try:
        return _bare_jobs(entries, registry, ids)
    except (InvalidJob, LookupError, TypeError, ValueError, RecursionError, OverflowError):
        # To look at each tells which one is bad, and why, if any is.
        pass
    return [_prepared_one(fields, registry, job_id) for fields, job_id in zip(entries, ids, strict=True)]


def _prepared_one(fields: Mapping[str, Any], registry: Registry | None, job_id: str) -> NewJob:
    job = prepare_fields(fields, registry, job_id=job_id)
    # The ids were made before it was known to which queues the jobs go.
    return job if job.queue == "default" else msgspec.structs.replace(job, id=with_hint(job_id, job.queue))


def _bare_jobs(entries: Sequence[Mapping[str, Any]], registry: Registry | None, ids: Sequence[str]) -> list[NewJob]:
    """Make jobs of submissions that have a type and a short payload alone, with a few calls for all of them.

    Raises something unless all of them are good for sure.
    """
    # The first one tells of the others: the jobs of a call are alike as a rule.
    if {*map(len, entries)} != {2} or len(_encode_lines([entries[0]["payload"]])) > _SHORT:
        raise InvalidJob("has more than a type and a short payload")
    types = [*map(itemgetter("type"), entries)]
    lines = _encode_lines(map(itemgetter("payload"), entries))
    payloads = lines.split(b"\n")[:-1]
    is_usual = {*map(type, types)} == {str} and len(payloads) == len(entries) and max(map(len, payloads)) <= MAX_PAYLOAD
    if not is_usual or not are_checked(lines):
        raise InvalidJob("is to be looked at by itself")
    for job_type in {*types}:
        check_name(TYPE_NAME, job_type, "/type")
        if declared_for(job_type, registry) is not None:
            raise InvalidJob("has more than a type and a payload, as its handler declares")
    if registry is not None:
        for job_type, payload in zip(types, payloads, strict=True):
            registry.require(job_type).decode(payload)
    return [
        NewJob(job_id, job_type, BARE_ENVELOPE % payload)
        for job_id, job_type, payload in zip(ids, types, payloads, strict=True)
    ]

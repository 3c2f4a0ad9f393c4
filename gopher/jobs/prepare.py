"""The rules of a submission: what comes over HTTP, from the CLI or from a program becomes a `NewJob` here.

Invalid submissions raise an `InvalidJob` with the field (a JSON pointer) and how to fix it.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from gopher.base.durations import parse_duration
from gopher.base.names import JOB_ID, KEY, QUEUE_NAME, TYPE_NAME, check_name
from gopher.base.priorities import DEFAULT_PRIORITY, PRIORITIES
from gopher.base.times import EXPECTED as EXPECTED_TIME
from gopher.base.times import submitted_time
from gopher.errors import InvalidJob, PayloadTooLarge

from .defaults import declared_for, filled
from .fields import Duration
from .handlers import Registry
from .job import BARE_ENVELOPE, NO_METADATA, Envelope, NewJob, new_job_id, new_job_ids, with_hint
from .ranges import LONGEST_TIMEOUT, LONGEST_WAIT, MOST_RETRIES
from .strict_json import check_json
from .submission import (
    MAX_METADATA,
    MAX_PARENTS,
    MAX_PAYLOAD,
    PARENT_FAILURE,
    InvalidBatch,
    Submission,
    parse,
    submission_of,
    to_json,
)


def prepare_fields(fields: Mapping[str, Any], registry: Registry | None = None, *, job_id: str | None = None) -> NewJob:
    """Validate Python values and convert them to a job: `submission_of` and `prepare` in one."""
    if fields.keys() == _BARE and type(fields["type"]) is str and declared_for(fields["type"], registry) is None:
        return _bare_job(fields["type"], to_json(fields["payload"], "/payload"), registry, job_id, names=True)
    return prepare(submission_of(fields), registry, job_id=job_id)


def prepare(
    submission: Submission,
    registry: Registry | None = None,
    *,
    job_id: str | None = None,
    now: float | None = None,
    names: bool = True,
    as_declared: bool = True,
) -> NewJob:
    """Validate a submission and convert it to a job, with the given id or a new one.

    `registry` validates the type and its payload; without one, any well-formed name and object are accepted here, and
    the worker validates them. `now` is in Unix seconds; `names` is False for the result of `parse`, which has already
    rejected duplicate keys. `as_declared` adds the options that the type's handler declares. Raises InvalidJob.
    """
    if as_declared and (handler := declared_for(submission.type, registry)) is not None:
        submission = filled(submission, handler)
    if submission == Submission(submission.type, submission.payload):
        return _bare_job(submission.type, bytes(submission.payload), registry, job_id, names=names)
    if submission.recurring is not None:
        raise InvalidJob("is not supported in a batch: send it as a single submission to /api/v1/jobs", "/recurring")
    present = round((time.time() if now is None else now) * 1000)
    due, execute_at = _due(submission, present)
    queue, priority = submission.queue or "default", submission.priority or DEFAULT_PRIORITY
    _check_names(submission.type, queue, priority)
    _check_payload(submission.type, bytes(submission.payload), registry, names=names)
    envelope = Envelope(
        payload=submission.payload,
        max_retries=_max_retries(submission.max_retries),
        timeout=_timeout(submission.timeout),
        retry_for=_duration(submission.retry_for, "/retry_for"),
        execute_at=execute_at,
        metadata=check_metadata(submission.metadata, names=names),
    )
    return NewJob(
        id=job_id or new_job_id(queue),
        type=submission.type,
        queue=queue,
        priority=priority,
        due=due,
        expires=_expires(submission, present),
        retention=_duration(submission.retention, "/retention"),
        unique_key=_key(submission.unique_key, "/unique_key"),
        unique_for=_unique_for(submission),
        limit_key=_key(submission.limit_key, "/limit_key"),
        after=_parents(submission.after),
        on_parent_failure=_on_parent_failure(submission.on_parent_failure),
        envelope=msgspec.json.encode(envelope),
    )


def prepare_batch(
    entries: Sequence[bytes | msgspec.Raw], registry: Registry | None = None, ids: Sequence[str] | None = None
) -> list[NewJob]:
    """Convert a batch's entries to jobs, with new ids or the given ones. Raises InvalidBatch, listing all errors."""
    jobs: list[NewJob] = []
    errors: list[tuple[int, InvalidJob]] = []
    # Ids of an idempotent request are derived from its key; new ones contain a hint of the queue.
    own_ids = new_job_ids(len(entries)) if ids is None else list(ids)
    for index, entry in enumerate(entries):
        try:
            submission = _with_parent_ids(parse(bytes(entry)), index, own_ids)
            if (handler := declared_for(submission.type, registry)) is not None:
                submission = filled(submission, handler)
            if ids is None:
                own_ids[index] = with_hint(own_ids[index], submission.queue or "default")
            jobs.append(prepare(submission, registry, job_id=own_ids[index], names=False, as_declared=False))
        except InvalidJob as error:
            errors.append((index, error))
    if errors:
        raise InvalidBatch(errors)
    return jobs


#: The fields of nearly all submissions. If there are no others, few checks are needed.
_BARE = frozenset({"type", "payload"})


def _bare_job(job_type: str, payload: bytes, registry: Registry | None, job_id: str | None, *, names: bool) -> NewJob:
    _check_names(job_type, "default", "normal")
    _check_payload(job_type, payload, registry, names=names)
    return NewJob(job_id or new_job_id(), job_type, BARE_ENVELOPE % payload)


def _with_parent_ids(submission: Submission, index: int, ids: Sequence[str]) -> Submission:
    """Replace indexes in the batch, by which an entry may refer to earlier ones, by their ids."""
    if not submission.after:
        return submission
    after: list[str | int] = []
    for at, parent in enumerate(submission.after):
        if isinstance(parent, int):
            if not 0 <= parent < index:
                raise InvalidJob(f"is {parent}: must be the index of an earlier job of the batch", f"/after/{at}")
            parent = ids[parent]  # noqa: PLW2901
        after.append(parent)
    return msgspec.structs.replace(submission, after=after)


@lru_cache(maxsize=1024)
def _check_names(job_type: str, queue: str, priority: str) -> None:
    check_name(TYPE_NAME, job_type, "/type")
    check_name(QUEUE_NAME, queue, "/queue")
    if priority not in PRIORITIES:
        raise InvalidJob(f"is {priority!r:.60}: must be one of {', '.join(PRIORITIES)}", "/priority")


def _check_payload(job_type: str, payload: bytes, registry: Registry | None, *, names: bool) -> None:
    if len(payload) > MAX_PAYLOAD:
        raise PayloadTooLarge(f"is {len(payload)} bytes of JSON: the maximum is {MAX_PAYLOAD}", "/payload")
    handler = registry.require(job_type) if registry is not None else None
    if not isinstance(check_json(payload, "/payload", names=names), dict):
        raise InvalidJob("must be a JSON object", "/payload")
    if handler is not None:
        handler.decode(payload)


def check_metadata(metadata: msgspec.Raw, *, names: bool) -> msgspec.Raw:
    """Validate and return metadata. Raises InvalidJob."""
    text = bytes(metadata)
    if text == b"null":
        return NO_METADATA
    if len(text) > MAX_METADATA:
        raise InvalidJob(f"is {len(text)} bytes of JSON: the maximum is {MAX_METADATA}", "/metadata")
    if not isinstance(check_json(text, "/metadata", names=names), dict):
        raise InvalidJob("must be a JSON object", "/metadata")
    return metadata


def _max_retries(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= MOST_RETRIES:
        raise InvalidJob(f"is {value}: must be from 0 to {MOST_RETRIES}", "/max_retries")
    return value


def _key(value: str | None, field: str) -> str:
    if value is None:
        return ""
    if not KEY.fullmatch(value):
        raise InvalidJob(
            f"is {value!r:.60}: must have 1 to 200 printable characters other than spaces and commas", field
        )
    return value


def _unique_for(submission: Submission) -> float:
    seconds = _duration(submission.unique_for, "/unique_for")
    if seconds is None:
        return LONGEST_WAIT
    if submission.unique_key is None:
        raise InvalidJob("requires unique_key", "/unique_for")
    if seconds <= 0:
        raise InvalidJob("must be greater than 0", "/unique_for")
    return seconds


def _parents(after: list[str | int]) -> tuple[str, ...]:
    """Return the ids that a job waits for. Indexes in a batch have already been replaced (`prepare_batch`)."""
    if not after:
        return ()
    if len(after) > MAX_PARENTS:
        raise InvalidJob(f"has {len(after)} jobs: the maximum is {MAX_PARENTS}", "/after")
    for index, parent in enumerate(after):
        if not isinstance(parent, str):
            raise InvalidJob("is an index in a batch: for a single job, use ids", f"/after/{index}")
        if not JOB_ID.fullmatch(parent):
            raise InvalidJob(f"is {parent!r:.60}: expected a job id", f"/after/{index}")
    return tuple(dict.fromkeys(str(parent) for parent in after))


def _on_parent_failure(value: str) -> str:
    if value not in PARENT_FAILURE:
        raise InvalidJob(f"is {value!r:.60}: must be {' or '.join(PARENT_FAILURE)}", "/on_parent_failure")
    return value


def _timeout(value: Duration | None) -> float | None:
    seconds = _duration(value, "/timeout", LONGEST_TIMEOUT)
    if seconds is not None and seconds <= 0:
        raise InvalidJob("must be greater than 0", "/timeout")
    return seconds


def _duration(value: Duration | None, field: str, longest: float = LONGEST_WAIT) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise InvalidJob(f"is {value!r:.60}: {error}", field) from None
    if seconds > longest:
        raise InvalidJob(f"is {value!r:.60}: the maximum is {longest / 86400:g} days", field)
    return seconds


def _due(submission: Submission, present: int) -> tuple[str, int | None]:
    """Return when the job is due in the format of `NewJob`, and the time to show (ms)."""
    if submission.execute_at is not None and submission.delay is not None:
        raise InvalidJob("can't be given together with delay: send one of them", "/execute_at")
    if submission.execute_at is not None:
        due = _instant(submission.execute_at, "/execute_at", present)
        return str(due), due
    delay = round((_duration(submission.delay, "/delay") or 0) * 1000)
    return (f"+{delay}", present + delay) if delay else ("", None)


def _expires(submission: Submission, present: int) -> str:
    """Return when the job expires in the format of `NewJob`."""
    if submission.expires_at is not None and submission.expires_in is not None:
        raise InvalidJob("can't be given together with expires_in: send one of them", "/expires_at")
    if submission.expires_at is not None:
        expires = _instant(submission.expires_at, "/expires_at", present)
        if expires <= present:
            raise InvalidJob("is in the past: the job would never run", "/expires_at")
        return str(expires)
    limit = _duration(submission.expires_in, "/expires_in")
    if limit is not None and limit <= 0:
        raise InvalidJob("must be greater than 0: the job would never run", "/expires_in")
    return f"+{round(limit * 1000)}" if limit else ""


def _instant(text: str, field: str, present: int) -> int:
    try:
        value = submitted_time(text)
    except ValueError:
        raise InvalidJob(f"is {text!r:.60}: expected {EXPECTED_TIME}", field) from None
    if value > present + LONGEST_WAIT * 1000:
        raise InvalidJob(f"is {text!r:.60}: the maximum is {LONGEST_WAIT / 86400:g} days ahead", field)
    return value

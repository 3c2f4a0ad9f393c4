"""The rules of a submission: what comes over HTTP, from the CLI or from a program becomes a `NewJob` here.

Invalid submissions raise an `InvalidJob` with the field (a JSON pointer) and how to fix it.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gopher.base.durability import DURABILITIES
from gopher.base.names import FILE_ID, JOB_ID, KEY, PART_NAME, QUEUE_NAME, TENANT, TYPE_NAME, canonical_id, check_name
from gopher.base.priorities import DEFAULT_PRIORITY, PRIORITIES
from gopher.errors import InvalidJob, PayloadTooLarge

from .callbacks import DELIVERY_TYPE, callback_line, check_callback
from .defaults import declared_for, filled
from .fields import Duration
from .job import BARE_ENVELOPE, NO_METADATA, Envelope, NewJob, new_job_id, new_job_ids, with_hint
from .prepare_times import duration, read_due, read_expires, read_timeout
from .prepare_unique import read_max_wait, read_unique_for, read_unique_mode
from .ranges import MAX_TAGS, MOST_RETRIES
from .registry import Registry
from .strict_json import check_json
from .submission import (
    MAX_FILES,
    MAX_METADATA,
    MAX_PARENTS,
    MAX_PAYLOAD,
    PARENT_FAILURE,
    AfterBatch,
    InvalidBatch,
    Submission,
    parse,
    submission_of,
    to_json,
)


def prepare_fields(
    fields: Mapping[str, Any],
    registry: Registry | None = None,
    *,
    job_id: str | None = None,
    payload_max: int | None = None,
) -> NewJob:
    """Validate Python values and convert them to a job: `submission_of` and `prepare` in one."""
    if fields.keys() == _BARE and type(fields["type"]) is str and declared_for(fields["type"], registry) is None:
        payload = to_json(fields["payload"], "/payload")
        return _bare_job(fields["type"], payload, registry, job_id, names=True, payload_max=payload_max)
    return prepare(submission_of(fields), registry, job_id=job_id, payload_max=payload_max)


def prepare(
    submission: Submission,
    registry: Registry | None = None,
    *,
    job_id: str | None = None,
    now: float | None = None,
    names: bool = True,
    as_declared: bool = True,
    payload_max: int | None = None,
    named: str = "",
) -> NewJob:
    """Validate a submission and convert it to a job, with the given id or a new one.

    `registry` validates the type and its payload; without one, any well-formed name and object are accepted here, and
    the worker validates them. `now` is in Unix seconds; `names` is False for the result of `parse`, which has already
    rejected duplicate keys. `as_declared` adds the options that the type's handler declares. `payload_max` is
    GOPHER_PAYLOAD_MAX if the job goes to `Client.store`, which stores larger payloads than records have. `named` is
    the digest of a submission with a chosen id, by default of this one. Raises InvalidJob.
    """
    named = digest_of(submission) if submission.job_id is not None and not named else named
    if as_declared and (handler := declared_for(submission.type, registry)) is not None:
        submission = filled(submission, handler)
    if submission == Submission(submission.type, submission.payload):
        payload = bytes(submission.payload)
        return _bare_job(submission.type, payload, registry, job_id, names=names, payload_max=payload_max)
    if submission.recurring is not None:
        raise InvalidJob("is not supported in a batch: send it as a single submission to /api/v1/jobs", "/recurring")
    present = round((time.time() if now is None else now) * 1000)
    due, execute_at = read_due(submission, present)
    queue, priority = place_of(submission)
    _check_names(submission.type, queue, priority)
    _check_payload(submission.type, bytes(submission.payload), registry, names=names, payload_max=payload_max)
    retry_for = duration(submission.retry_for, "/retry_for")
    callback = check_callback(submission.callback)
    tenant = _tenant(submission.tenant)
    envelope = Envelope(
        payload=submission.payload,
        max_retries=_max_retries(submission.max_retries),
        timeout=read_timeout(submission.timeout),
        retry_for=retry_for,
        execute_at=execute_at,
        tenant=tenant,
        metadata=check_metadata(submission.metadata, names=names),
        tags=check_tags(submission.tags or ()),
        batch=_batch(submission.batch),
        callback=msgspec.to_builtins(callback) if callback else {},
    )
    return NewJob(
        id=job_id or chosen_id(submission) or new_job_id(queue),
        type=submission.type,
        queue=queue,
        priority=priority,
        due=due,
        expires=read_expires(submission, present),
        give_up="" if retry_for is None else f"+{round(retry_for * 1000)}",
        retention=duration(submission.retention, "/retention"),
        unique_key=_key(submission.unique_key, "/unique_key"),
        unique_for=read_unique_for(submission),
        unique_mode=read_unique_mode(submission),
        max_wait=read_max_wait(submission),
        limit_key=_key(submission.limit_key, "/limit_key"),
        tenant=tenant,
        after=_parents(submission.after, envelope.batch),
        on_parent_failure=_on_parent_failure(submission.on_parent_failure),
        named=named,
        batch=envelope.batch,
        durability=_durability(submission.durability),
        require_worker=submission.require_worker,
        envelope=msgspec.json.encode(envelope),
        files=check_files(submission.files) if submission.files else (),
        callback=callback_line(callback),
    )


def prepare_batch(
    entries: Sequence[bytes | msgspec.Raw],
    registry: Registry | None = None,
    *,
    payload_max: int | None = None,
) -> list[NewJob]:
    """Convert a batch's entries to jobs, with new ids. Raises InvalidBatch, listing all errors."""
    jobs: list[NewJob] = []
    errors: list[tuple[int, InvalidJob]] = []
    own_ids = new_job_ids(len(entries))
    for index, entry in enumerate(entries):
        try:
            sent = parse(bytes(entry))
            # Before what differs from one submission to the next is filled in.
            named = digest_of(sent) if sent.job_id is not None else ""
            submission = _with_parent_ids(sent, index, own_ids)
            if (handler := declared_for(submission.type, registry)) is not None:
                submission = filled(submission, handler)
            own_ids[index] = chosen_id(sent) or with_hint(own_ids[index], submission.queue or "default")
            jobs.append(
                prepare(
                    submission,
                    registry,
                    job_id=own_ids[index],
                    names=False,
                    as_declared=False,
                    payload_max=payload_max,
                    named=named,
                )
            )
        except InvalidJob as error:
            errors.append((index, error))
    if errors:
        raise InvalidBatch(errors)
    return jobs


#: The fields of nearly all submissions. If there are no others, few checks are needed.
_BARE = frozenset({"type", "payload"})


def _bare_job(
    job_type: str,
    payload: bytes,
    registry: Registry | None,
    job_id: str | None,
    *,
    names: bool,
    payload_max: int | None,
) -> NewJob:
    _check_names(job_type, "default", "normal")
    _check_payload(job_type, payload, registry, names=names, payload_max=payload_max)
    return NewJob(job_id or new_job_id(), job_type, BARE_ENVELOPE % payload)


def _with_parent_ids(submission: Submission, index: int, ids: Sequence[str]) -> Submission:
    """Replace indexes in the batch, by which an entry may refer to earlier ones, by their ids."""
    if not submission.after or isinstance(submission.after, AfterBatch):
        return submission
    after: list[str | int] = []
    for at, parent in enumerate(submission.after):
        if isinstance(parent, int):
            if not 0 <= parent < index:
                raise InvalidJob(f"is {parent}: must be the index of an earlier job of the batch", f"/after/{at}")
            parent = ids[parent]  # noqa: PLW2901
        after.append(parent)
    return msgspec.structs.replace(submission, after=after)


def chosen_id(submission: Submission) -> str:
    """Return the id that a submission chooses, "" without one. Raises InvalidJob."""
    if submission.job_id is None:
        return ""
    chosen = canonical_id(submission.job_id)
    if not JOB_ID.fullmatch(chosen):
        raise InvalidJob(f"is {submission.job_id!r:.60}: expected a UUID", "/job_id")
    return chosen


def digest_of(submission: Submission) -> str:
    """Return a digest of what was submitted: that of a repeat is the same."""
    return hashlib.sha256(msgspec.json.encode(submission)).hexdigest()


def place_of(submission: Submission) -> tuple[str, str]:
    """Return the queue and the priority of a submission, not validated."""
    queue, priority = submission.queue, submission.priority
    return "default" if queue is UNSET else queue, DEFAULT_PRIORITY if priority is UNSET else priority


@lru_cache(maxsize=1024)
def _check_names(job_type: str, queue: str, priority: str) -> None:
    check_name(TYPE_NAME, job_type, "/type")
    if job_type == DELIVERY_TYPE:
        raise InvalidJob(f"is {job_type!r}, which only Gopher submits: use callback, or /api/v1/webhooks", "/type")
    check_name(QUEUE_NAME, queue, "/queue")
    if priority not in PRIORITIES:
        raise InvalidJob(f"is {priority!r:.60}: must be one of {', '.join(PRIORITIES)}", "/priority")


def _check_payload(
    job_type: str, payload: bytes, registry: Registry | None, *, names: bool, payload_max: int | None
) -> None:
    if len(payload) > (payload_max or MAX_PAYLOAD):
        most = f"{payload_max} (GOPHER_PAYLOAD_MAX)" if payload_max else str(MAX_PAYLOAD)
        raise PayloadTooLarge(f"is {len(payload)} bytes of JSON: the maximum is {most}", "/payload")
    handler = registry.require(job_type) if registry is not None and registry.checks else None
    if not isinstance(check_json(payload, "/payload", names=names), dict):
        raise InvalidJob("must be a JSON object", "/payload")
    if handler is not None:
        handler.validated(payload)


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


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Validate tags and return them without duplicates. Raises InvalidJob."""
    if len(tags) > MAX_TAGS:
        raise InvalidJob(f"has {len(tags)} tags: the maximum is {MAX_TAGS}", "/tags")
    for index, tag in enumerate(tags):
        _key(tag, f"/tags/{index}")
    return tuple(dict.fromkeys(tags))


def check_files(files: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Validate the uploads of a job and return (name, id) of each. Raises InvalidJob."""
    if len(files) > MAX_FILES:
        raise InvalidJob(f"has {len(files)} files: the maximum is {MAX_FILES}", "/files")
    for name, file_id in files.items():
        if not PART_NAME.fullmatch(name):
            raise InvalidJob(
                f"has the name {name!r:.80}: must have 1 to 64 letters, digits and .-_, the first of which is a "
                "letter or _",
                "/files",
            )
        if not FILE_ID.fullmatch(canonical_id(file_id)):
            raise InvalidJob(f"is {file_id!r:.60}: expected a file_id, as POST /api/v1/files returns", f"/files/{name}")
    return tuple((name, canonical_id(file_id)) for name, file_id in files.items())


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


def _tenant(value: str | UnsetType | None) -> str:
    return "" if value is None or value is UNSET else check_name(TENANT, value, "/tenant")


def _parents(after: list[str | int] | AfterBatch, batch: str) -> tuple[str, ...]:
    """Return the ids that a job waits for. Indexes in a batch have already been replaced (`prepare_batch`)."""
    if isinstance(after, AfterBatch):
        after = [after.batch]
    if not after:
        return ()
    if len(after) > MAX_PARENTS:
        raise InvalidJob(
            f"has {len(after)} jobs: the maximum is {MAX_PARENTS}; for more, add them to a batch, and wait for that: "
            '{"batch": "<id>"}',
            "/after",
        )
    for index, parent in enumerate(after):
        if not isinstance(parent, str):
            raise InvalidJob("is an index in a batch: for a single job, use ids", f"/after/{index}")
        if not JOB_ID.fullmatch(canonical_id(parent)):
            raise InvalidJob(f"is {parent!r:.60}: expected a job id", f"/after/{index}")
    parents = tuple(dict.fromkeys(canonical_id(str(parent)) for parent in after))
    if batch in parents:
        raise InvalidJob(
            "is the batch to which the job is added: neither would ever end. Use on_complete or on_success of it, "
            "or add the job to no batch",
            "/after",
        )
    return parents


def _batch(value: str | None) -> str:
    if value is not None and not JOB_ID.fullmatch(canonical_id(value)):
        raise InvalidJob(f"is {value!r:.60}: expected the id of a batch", "/batch")
    return canonical_id(value) if value else ""


def check_queue(name: str) -> None:
    """Validate the name of a queue. Raises InvalidJob."""
    check_name(QUEUE_NAME, name, "/queue")


def check_retention(value: Duration) -> float:
    """Return a retention in seconds. Raises InvalidJob."""
    return duration(value, "/retention") or 0.0


def _on_parent_failure(value: str) -> str:
    if value not in PARENT_FAILURE:
        raise InvalidJob(f"is {value!r:.60}: must be {' or '.join(PARENT_FAILURE)}", "/on_parent_failure")
    return value


def _durability(value: str | None) -> str:
    if value is not None and value not in DURABILITIES:
        raise InvalidJob(f"is {value!r:.60}: must be one of {', '.join(DURABILITIES)}", "/durability")
    return value or ""

"""What keys that are limited to some queues or job types, or to a tenant, may do.

Nothing needs to be declared for most calls: the queue and the type that a call is about are in its path, its query or
its body. A call without them is about everything, so that such a key may not make it. Submissions are checked by the
jobs that they make, since a handler may have a queue of its own; which jobs and batches these may name is decided where
they are looked up (`owners.Submitter`).
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from flask import g
from werkzeug.exceptions import Forbidden

from gopher.config.key_kinds import ApiKey
from gopher.errors import InvalidJob, OutOfScope
from gopher.interface.operation import Operation
from gopher.jobs.job import NewJob
from gopher.jobs.submission import Batch, InvalidBatch, Submission
from gopher.queue.missing import no_such_job

from .context import gopher


class _Scope(NamedTuple):
    """A way in which a key is limited."""

    #: `queue` or `type`, as in JSON.
    name: str
    #: The names that parameters and fields of calls have for it.
    fields: tuple[str, ...]
    #: Returns what a key is limited to.
    allowed: Callable[[ApiKey], Sequence[str]]


def _tenants(key: ApiKey) -> Sequence[str]:
    return (key.tenant,) if key.tenant else ()


_SCOPES = (
    _Scope("queue", ("queue",), attrgetter("queues")),
    _Scope("type", ("job_type", "type"), attrgetter("types")),
    _Scope("tenant", ("tenant",), _tenants),
)
#: Parameters of paths that name a queue or a type. Any other names something that may be in any queue; that of a tenant
#: names what it may use, which is not for the tenant to decide.
_IN_PATHS = {field for scope in _SCOPES for field in scope.fields} - {"tenant"}


def check(declared: Operation, arguments: MutableMapping[str, Any]) -> None:
    """Raise Forbidden if this request's key is limited, and the call is about anything else.

    Where a filter is not given and the key is limited to one queue or type, that is filled in.
    """
    key: ApiKey | None = g.get("key")
    if key is None or not key.is_limited or declared.role is None or declared.is_about_no_jobs:
        return
    if declared.body in (Submission, Batch):
        return
    if "job_id" in declared.path:
        _check_job(key, arguments["job_id"])
        return
    if declared.spans_queues or declared.path.keys() - _IN_PATHS:
        raise Forbidden(f"key {key.name!r} is limited to {_shown(key)}: this call is not")
    for scope in _SCOPES:
        if allowed := scope.allowed(key):
            _check_scope(key, scope, allowed, arguments)


def check_jobs(jobs: Sequence[NewJob]) -> None:
    """Raise OutOfScope for a job that this request's key may not submit, InvalidBatch for those of a batch."""
    key: ApiKey | None = g.get("key")
    if key is None or not key.is_limited:
        return
    errors: list[tuple[int, InvalidJob]] = []
    for index, job in enumerate(jobs):
        if error := _refusal(key, job):
            errors.append((index, error))
    if errors:
        raise errors[0][1] if len(jobs) == 1 else InvalidBatch(errors)


def check_queue(queue: str | None) -> None:
    """Raise OutOfScope for a queue that this request's key may not use; None is for no other queue."""
    key: ApiKey | None = g.get("key")
    if queue is not None and key is not None and not _allows(key.queues, queue):
        raise OutOfScope(f"is {queue!r}: key {key.name!r} is limited to {_shown(key)}", "/queue")


def are_limited() -> bool:
    """Return whether this request's key is limited."""
    key: ApiKey | None = g.get("key")
    return key is not None and key.is_limited


def require_none() -> None:
    """Raise Forbidden if this request's key is limited."""
    key: ApiKey | None = g.get("key")
    if key is not None and key.is_limited:
        raise Forbidden(f"key {key.name!r} is limited to {_shown(key)}: this requires a key without limits")


def _check_job(key: ApiKey, job_id: str) -> None:
    """Raise JobNotFound for a job beyond the key's limits, as for one that does not exist."""
    here = gopher()
    if here.inspector.place(job_id, lambda at: key.admits(at.queue, at.type, at.tenant)) is None:
        raise no_such_job(here.server, job_id)


def _check_scope(key: ApiKey, scope: _Scope, allowed: Sequence[str], arguments: MutableMapping[str, Any]) -> None:
    """Check the queue or the type that a call names; fill it in if it is optional."""
    for name, argument in arguments.items():
        if name in scope.fields:
            _require(key, scope, allowed, argument)
            return
        field = next((field for field in scope.fields if field in _fields_of(argument)), None)
        if field is not None:
            if getattr(argument, field) is None and len(allowed) == 1:
                arguments[name] = msgspec.structs.replace(argument, **{field: allowed[0]})
            else:
                _require(key, scope, allowed, getattr(argument, field))
            return
    raise Forbidden(f"key {key.name!r} is limited to {_shown(key)}: this call concerns every {scope.name}")


def _require(key: ApiKey, scope: _Scope, allowed: Sequence[str], value: str | None) -> None:
    if value is None:
        raise Forbidden(f"key {key.name!r} is limited to {_shown(key)}: name one of them with `{scope.name}`")
    if value not in allowed:
        raise Forbidden(f"key {key.name!r} is limited to {_shown(key)}: {scope.name} {value!r:.80} is not one of them")


def _refusal(key: ApiKey, job: NewJob) -> OutOfScope | None:
    # A job without a tenant is one of the key's: see `access.with_options_of_key`.
    for scope, value in zip(_SCOPES, (job.queue, job.type, job.tenant or key.tenant), strict=True):
        if not _allows(scope.allowed(key), value):
            return OutOfScope(f"is {value!r}: key {key.name!r} is limited to {_shown(key)}", f"/{scope.name}")
    return None


def _allows(allowed: Sequence[str], value: str) -> bool:
    return not allowed or value in allowed


def _fields_of(argument: Any) -> Sequence[str]:
    return argument.__struct_fields__ if isinstance(argument, msgspec.Struct) else ()


def _shown(key: ApiKey) -> str:
    parts: Mapping[str, Sequence[str]] = {scope.name: scope.allowed(key) for scope in _SCOPES}
    return " and ".join(
        f"the {name}{'' if len(names) == 1 else 's'} {', '.join(names)}" for name, names in parts.items() if names
    )

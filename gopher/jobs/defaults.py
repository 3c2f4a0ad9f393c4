"""What a handler declares for its jobs, so that those who submit them need not know it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from gopher.base.unique_modes import REPLACE
from gopher.errors import InvalidJob

from .registry import Registry
from .registry import registry as registered
from .submission import Submission

if TYPE_CHECKING:
    from .handlers import Handler


def declared_for(job_type: str, registry: Registry | None) -> "Handler | None":
    """Return the handler of a type if it declares something for its jobs.

    Without a registry: the one of this process, where the modules of handlers are imported, as in a worker's children.
    """
    handler = (registered if registry is None else registry).get(job_type)
    return handler if handler is not None and handler.has_defaults else None


def filled(submission: Submission, handler: "Handler") -> Submission:
    """Return a submission with what its handler declares where it says nothing itself. Raises InvalidJob."""
    values: dict[str, Any] = {}
    for name in ("queue", "priority", "tags"):
        if getattr(submission, name) is UNSET and (declared := getattr(handler, name)):
            values[name] = declared
    if submission.retention is None:
        values["retention"] = handler.retention
    if submission.expires_in is None and submission.expires_at is None:
        values["expires_in"] = handler.expires_in
    if submission.unique_key is None and handler.unique_key is not None and submission.recurring is None:
        values["unique_key"] = _unique_key(handler, handler.unique_key, submission.payload)
    if submission.durability is None and submission.recurring is None:
        values["durability"] = handler.durability
    if submission.unique_key or values.get("unique_key"):
        values |= _unique_options(submission, handler)
    return msgspec.structs.replace(submission, **values)


def _unique_options(submission: Submission, handler: "Handler") -> dict[str, Any]:
    """Return what the handler declares for a job with a unique key."""
    values: dict[str, Any] = {}
    if submission.unique_for is None:
        values["unique_for"] = handler.unique_for
    if submission.unique_mode is None and submission.recurring is None:
        values["unique_mode"] = handler.unique_mode
    if submission.max_wait is None and (submission.unique_mode or values.get("unique_mode")) == REPLACE:
        values["max_wait"] = handler.max_wait
    return values


def _unique_key(handler: "Handler", of: Callable[[Any], str | None], payload: msgspec.Raw) -> str | None:
    typed = handler.validated(payload)
    try:
        key = of(typed)
    except Exception as error:
        message = f"the handler's unique_key function raised {type(error).__name__}: {error}"
        raise InvalidJob(message[:500], "/unique_key") from error
    if not isinstance(key, str | None):
        raise InvalidJob(f"the handler's function returned {key!r:.60}: must return a string or None", "/unique_key")
    return key

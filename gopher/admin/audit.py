"""Writes the audit trail: every call of an operation that changes something, from any program.

    @audited
    class Flow(FlowInterface):

An operation joins by its declaration in the interface, which says whether it is audited; the class that performs it on
the server (its attribute `_server`) has this decorator. An entry is written once it is known what was changed: calls
that change nothing, or are rejected, leave none. There are two streams, each with a maximum length: what unknown
clients and keys without the role `admin` cause can't push out what operators have done.
"""

import inspect
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial, wraps
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from gopher.errors import GopherError, ServerError
from gopher.hooks import holding
from gopher.interface.operation import Operations, action_of, declared_of
from gopher.interface.stored import Stored
from gopher.jobs.job import NewJob, current_job
from gopher.queue.store import Server
from gopher.telemetry.loggers import get_logger

#: Maximum number of characters of a text.
_LONGEST = 200
#: Never in an entry.
_PRIVATE = ("payload", "metadata")
#: What `schedules.put` answers when it has changed nothing.
_UNCHANGED = "UNCHANGED"
_log = get_logger("audit")
Kind = TypeVar("Kind", bound=type[Operations])


class Actor(NamedTuple):
    """Who makes a call."""

    through: str
    who: str
    address: str
    #: Id of the request, or of the job whose handler makes it.
    request_id: str = ""
    #: Whether it may do everything.
    is_operator: bool = True

    @property
    def has_log(self) -> bool:
        """Whether it runs in a process whose log operators read; entries of those are also lines of the log."""
        return self.through in ("api", "dashboard", "job", "scheduler")


#: Who makes the calls of this context; None: the program itself.
_actor: ContextVar[Callable[[], Actor] | None] = ContextVar("actor", default=None)
#: Whether a call is part of another one that is audited.
_inside: ContextVar[bool] = ContextVar("inside", default=False)


@contextmanager
def acting(actor: Callable[[], Actor]) -> Iterator[None]:
    """Have calls audited as those of an actor."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def user(through: str) -> Actor:
    """Return the operating system's user of this process."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return Actor(through, name, socket.gethostname())


def current_actor() -> Actor:
    actor, job = _actor.get(), current_job()
    if actor is not None:
        return actor()
    return user("client") if job is None else Actor("job", job.owner, socket.gethostname(), job.id, not job.owner)


def audited(kind: Kind) -> Kind:
    """Have a class write an entry for each call of its methods that the interface declares as audited."""
    for name, method in list(vars(kind).items()):
        declared = next((vars(base)[name] for base in kind.__mro__[1:] if name in vars(base)), None)
        if declared is not None and getattr(declared, "is_audited", False):
            setattr(kind, name, _audited(method, declared, kind.part))
    return kind


def _audited(method: Callable[..., Any], declared: Callable[..., Any], part: str) -> Callable[..., Any]:
    signature = cache(partial(inspect.signature, method))

    @wraps(method)
    def called(self: Any, /, *given: Any, **named: Any) -> Any:
        if _inside.get():
            return method(self, *given, **named)
        bound = signature().bind(self, *given, **named)
        operation, action = declared_of(declared), action_of(declared, part)
        if holding.holder is not None:
            holding.holder.refuse(action)
        arguments = dict(list(bound.arguments.items())[1:])
        token = _inside.set(True)
        try:
            result = method(self, *given, **named)
        except ServerError as error:
            from gopher.jobs.lists import FAILED

            record(self._server, action, arguments, result=FAILED, details=f"{error.code}: {error}")
            raise
        finally:
            _inside.reset(token)
        if (effect := _effect(result, operation.fixed if operation else {})) is not None:
            record(self._server, action, arguments, **effect)
        return result

    cast("Any", called).audited_as = declared
    return called


def _effect(result: Any, fixed: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an entry says about the result of a call; None if it has changed nothing."""
    # Programs that only submit jobs do not need them.
    from gopher.jobs.api_keys import CreatedKey
    from gopher.jobs.models import StartedRedrive

    match result:
        case bool():
            return {} if result else None
        case int():
            return {"count": result} if result else None
        case str():
            return {"details": result}
        case list():
            return {"count": len(result)} if result else None
        case StartedRedrive():
            return {"count": result.total, "details": result.redrive_id} if result.redrive_id else None
        case CreatedKey():
            return {"details": result.key_id}
        case (_, str(what)):
            return {"details": what.lower()} if what != _UNCHANGED else None
    return {"count": fixed["count"]} if "count" in fixed else {}


def submitted(server: Server, jobs: Sequence[NewJob], results: Sequence[Stored], types: Collection[str]) -> None:
    """Write an entry of new jobs whose types are audited, if there are any."""
    if not any(job.type in types for job in jobs) or _inside.get():
        return
    new: dict[str, list[str]] = {}
    for job, stored in zip(jobs, results, strict=True):
        if job.type in types and stored.is_new:
            new.setdefault(job.type, []).append(stored.job_id)
    for name, ids in new.items():
        record(server, "jobs.submit", {"type": name}, count=len(ids), details=ids[0] if len(ids) == 1 else "")


def record(server: Server, action: str, on: Mapping[str, Any], **facts: Any) -> None:
    """Write an entry of what the current actor has done, with `facts`: fields of an AuditEvent.

    Failing to do so is logged: what it says has happened anyway.
    """
    from gopher.jobs.audit import EVENT, AuditEvent

    actor = current_actor()
    event = AuditEvent(
        who=_cut(actor.who),
        through=actor.through,
        address=actor.address,
        request_id=_cut(actor.request_id),
        action=action,
        on=plain(on),
        **{name: _cut(value) for name, value in facts.items()},
    )
    if actor.has_log:
        _log.warning("audit", **{name: value for name, value in msgspec.structs.asdict(event).items() if value})
    key = server.keys.audit if actor.is_operator else server.keys.audit_of_others
    words = ("XADD", key, "MAXLEN", str(server.settings.audit_max), "*", EVENT, msgspec.json.encode(event))
    try:
        server.write(key, lambda: server.client.execute_command(*words))
    except GopherError as error:
        # Not with structlog, which prints to stdout in programs that do not configure it.
        logging.getLogger(__name__).error("no entry in the audit trail for %s: %s", action, error)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by their JSON names: texts and numbers that were given, also those in a Struct."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, msgspec.Struct):
            fields = msgspec.structs.fields(value)
            given = {each.encode_name: getattr(value, each.name) for each in fields if _is_given(value, each)}
            found |= plain(given)
        elif isinstance(value, str | int | float) and name not in _PRIVATE:
            # The query of a URL may contain secrets.
            shown = value.partition("?")[0] if name == "url" and isinstance(value, str) else value
            found["type" if name == "job_type" else name] = _cut(shown)
    return found


def _is_given(struct: msgspec.Struct, field: msgspec.structs.FieldInfo) -> bool:
    return bool(getattr(struct, field.name) != field.default)


def _cut(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value

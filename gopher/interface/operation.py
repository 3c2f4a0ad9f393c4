"""Declares an operation once, on its method of the interface.

    @operation("GET", "/api/v1/dlq", "read")
    @takes(DeadListing)
    def page(self, asked: DeadListing) -> DeadLetterPage:
        \"\"\"List the dead letters, newest first.\"\"\"

The method's signature and result are those of the clients. `takes` gives it the fields of a Struct as its parameters,
for a type checker too. From the rest follow the API's route, its role and its part of the OpenAPI document
(app/operations.py), and what a client sends over HTTP and reads in the answer (api_client/transport.py).
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_type_hints

import msgspec

from gopher.config.key_kinds import Role

Parameters = ParamSpec("Parameters")
Self = TypeVar("Self")
Asked = TypeVar("Asked")
Result = TypeVar("Result")

#: Error codes of what registers a queue.
OF_QUEUES = ("too_many_queues", "unknown_queue")
#: The answer that is a file of any content type.
FILE = "*/*"


class Operation(msgspec.Struct, frozen=True):
    """A declared call of the API. An answer is a type, several types, or a media type such as text/html."""

    #: None: requires no key.
    role: Role | None
    answers: Mapping[int, Any]
    #: Its error codes in addition to the common ones.
    codes: tuple[str, ...] = ()
    summary: str = ""
    description: str = ""
    #: Name -> type of each parameter in the path.
    path: Mapping[str, Any] = {}
    query: type[msgspec.Struct] | None = None
    body: Any = None
    body_required: bool = True
    #: Other bodies that it accepts, by media type: how the OpenAPI document describes each.
    sends: Mapping[str, Any] = {}
    #: Name -> type of each header that the operation uses.
    headers: Mapping[str, Any] = {}
    #: Whether its answers have a version, and changes can be made conditional on it (If-Match).
    versioned: bool = False
    is_deprecated: bool = False
    #: Whether weaker roles may also perform it on jobs of their owner (app/access.py). The path has the job's id.
    for_owner: bool = False
    #: A page rather than an operation of the API: it checks access and parameters itself.
    is_page: bool = False
    #: Shows nothing of jobs and queues, so that keys that are limited to some of them may call it.
    is_about_no_jobs: bool = False
    #: Concerns other queues too, even if it names one: keys that are limited may not call it.
    spans_queues: bool = False
    # Of those that are declared on a method of the interface:
    #: Whether each call that changes something is an entry of the audit trail (admin/audit.py).
    audited: bool = False
    #: Its name there; "" for its part and method, such as `dead_letters.retry`.
    action: str = ""
    method: str = ""
    #: Such as `/api/v1/jobs/<job_id>`.
    route: str = ""
    #: What the method of a client returns, and the member of the answer that it is; "" for all of it.
    result: Any = None
    member: str = ""
    #: Members of the answer that are always the same.
    fixed: Mapping[str, Any] = {}


class Operations:
    """A part of the interface. `part` is the attribute of a client that has it, "" for the client itself.

    Its methods that are declared as operations are performed by `_perform`, unless a subclass does that itself.
    """

    part = ""

    def _perform(self, declared: Operation, arguments: Mapping[str, Any]) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not perform {declared.method} {declared.route}")


def takes(
    kind: Callable[Parameters, Asked],
) -> Callable[[Callable[[Self, Asked], Result]], Callable[Concatenate[Self, Parameters], Result]]:
    """Give a method that takes one Struct the fields of that Struct as its parameters."""

    def declare(method: Callable[[Self, Asked], Result]) -> Callable[Concatenate[Self, Parameters], Result]:
        @wraps(method)
        def called(self: Self, /, *given: Parameters.args, **named: Parameters.kwargs) -> Result:
            return method(self, kind(*given, **named))

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        described = cast("Any", called)
        described.takes = kind
        described.__signature__ = inspect.Signature([own, *_fields_of(kind)])
        return called

    return declare


@cache
def _fields_of(kind: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the fields of a Struct as parameters, as people read them: without the texts of the fields."""
    plain = get_type_hints(kind)
    return [each.replace(annotation=plain[name]) for name, each in inspect.signature(kind).parameters.items()]


def audited(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Declare that a method of an interface that is no operation of the API changes something."""
    cast("Any", method).is_audited = True
    return method


def operation(
    method: str,
    route: str,
    role: Role | None,
    answers: Mapping[int, Any] | Any = None,
    *codes: str,
    query: type[msgspec.Struct] | None = None,
    body: Any = None,
    **more: Any,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Declare a method of an interface as an operation.

    `answers` are the API's responses by status, or that with 200; by default the method's result. Each may be the name
    of a type in results.py, which is imported on first use. A Struct that the method `takes` is its query, or its body
    if it has one and no `query` is given. `more` are other fields of `Operation`. What changes something is audited,
    unless it says `audited=False`.
    """
    changes = method != "GET"

    def declare(method_: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        kind = getattr(method_, "takes", None)

        # On first use: programs that only submit jobs use few operations, and types are slow to resolve.
        @cache
        def declared() -> Operation:
            return described(method_, kind)

        @cache
        def signature() -> inspect.Signature:
            return inspect.signature(method_)

        @wraps(method_)
        def performed(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
            self = cast("Operations", given[0])
            if kind is not None:
                asked = kind(*given[1:], **named)
                arguments = {name: getattr(asked, name) for name in asked.__struct_fields__}
            else:
                bound = signature().bind(*given, **named)
                bound.apply_defaults()
                arguments = dict(bound.arguments)
                del arguments["self"]
            return cast("Result", self._perform(declared(), arguments))

        cast("Any", performed).declared = declared
        cast("Any", performed).is_audited = more.get("audited", changes)
        return performed

    def described(method_: Callable[..., Any], kind: Any) -> Operation:
        from . import results

        hints = get_type_hints(method_, localns=vars(results), include_extras=True)
        result = hints.pop("return")
        sends = method in ("POST", "PUT")
        summary, _, description = (inspect.getdoc(method_) or "").partition("\n")
        answered = result if answers is None else answers
        by_status = answered if isinstance(answered, Mapping) else {200: answered}
        return Operation(
            role,
            {status: _named(each, vars(results)) for status, each in by_status.items()},
            codes,
            summary.strip(),
            description.strip(),
            path={name: hint for name, hint in hints.items() if f"<{name}>" in route},
            query=query if sends else query or kind,
            body=body or (kind if sends and query is None else None),
            method=method,
            route=route,
            result=result,
            **{"audited": changes, **more},
        )

    return declare


def _named(answer: Any, types: Mapping[str, Any]) -> Any:
    """Return an answer that may be the name of a type; media types contain a slash."""
    return types[answer] if isinstance(answer, str) and "/" not in answer else answer


def declaration_of(method: Callable[..., Any]) -> Operation:
    """Return the operation of a method of the interface."""
    found = declared_of(method)
    assert found is not None, method
    return found


def declared_of(method: Callable[..., Any] | None) -> Operation | None:
    """Return the operation of a method, or None if it is not declared as one."""
    declared: Callable[[], Operation] | None = getattr(method, "declared", None)
    return declared() if declared else None


def action_of(method: Callable[..., Any], part: str) -> str:
    """Return the name that calls of a method have in the audit trail."""
    declared = declared_of(method)
    return (declared.action if declared else "") or ".".join(filter(None, [part, method.__name__]))


def answer_types(declared: Operation) -> list[Any]:
    """Return the types among the answers of an operation."""
    every = [each if isinstance(each, tuple) else (each,) for each in declared.answers.values()]
    return [kind for kinds in every for kind in kinds if not isinstance(kind, str)]


def without_none(values: msgspec.Struct | Mapping[str, Any]) -> dict[str, Any]:
    """Return the given fields of a Struct by their JSON names, without None."""
    if isinstance(values, msgspec.Struct):
        names = zip(values.__struct_fields__, values.__struct_encode_fields__, strict=True)
        values = {wire: getattr(values, name) for name, wire in names}
    return {name: value for name, value in values.items() if value is not None and value is not msgspec.UNSET}

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
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_type_hints

import msgspec

from gopher.config.kinds import Role

Parameters = ParamSpec("Parameters")
Self = TypeVar("Self")
Asked = TypeVar("Asked")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Operation:
    """A declared call of the API. An answer is a type, several types, or a media type such as text/html."""

    #: None: requires no key.
    role: Role | None
    answers: Mapping[int, Any]
    #: Its error codes in addition to the common ones.
    codes: tuple[str, ...] = ()
    summary: str = ""
    description: str = ""
    #: Name -> type of each parameter in the path.
    path: Mapping[str, Any] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    body: Any = None
    body_required: bool = True
    #: Name -> type of each header that the operation uses.
    headers: Mapping[str, Any] = field(default_factory=dict)
    is_deprecated: bool = False
    #: A page rather than an operation of the API: it checks access and parameters itself.
    is_page: bool = False
    # Of those that are declared on a method of the interface:
    method: str = ""
    #: Such as `/api/v1/jobs/<job_id>`.
    route: str = ""
    #: What the method of a client returns, and the member of the answer that it is; "" for all of it.
    result: Any = None
    member: str = ""
    #: Members of the answer that are always the same.
    fixed: Mapping[str, Any] = field(default_factory=dict)


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
        # As people read it: without the texts of the fields.
        plain = get_type_hints(kind)
        fields = [each.replace(annotation=plain[name]) for name, each in inspect.signature(kind).parameters.items()]
        described.__signature__ = inspect.Signature([own, *fields])
        return called

    return declare


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

    `answers` are the API's responses by status, or that with 200; by default the method's result. A Struct that the
    method `takes` is its query, or its body if it has one. `more` are other fields of `Operation`.
    """

    def declare(method_: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        hints = get_type_hints(method_, include_extras=True)
        result = hints.pop("return")
        kind = getattr(method_, "takes", None)
        sends = method in ("POST", "PUT")
        summary, _, description = (inspect.getdoc(method_) or "").partition("\n")
        answered = result if answers is None else answers
        declared = Operation(
            role,
            answered if isinstance(answered, Mapping) else {200: answered},
            codes,
            summary.strip(),
            description.strip(),
            path={name: hint for name, hint in hints.items() if f"<{name}>" in route},
            query=query if sends else query or kind,
            body=body or (kind if sends else None),
            method=method,
            route=route,
            result=result,
            **more,
        )
        signature = inspect.signature(method_)

        @wraps(method_)
        def performed(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
            self = cast("Operations", given[0])
            if kind is not None:
                asked = kind(*given[1:], **named)
                arguments = {name: getattr(asked, name) for name in asked.__struct_fields__}
            else:
                bound = signature.bind(*given, **named)
                bound.apply_defaults()
                arguments = dict(bound.arguments)
                del arguments["self"]
            return cast("Result", self._perform(declared, arguments))

        cast("Any", performed).operation = declared
        return performed

    return declare


def declaration_of(method: Callable[..., Any]) -> Operation:
    """Return the operation of a method of the interface."""
    declared: Operation = cast("Any", method).operation
    return declared


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

"""Parses and validates a call of the API before its view is called.

Most calls are operations of the interface and are declared there (serving.py). A call without a method of the clients
is declared at its view:

    @blueprint.get("/health/live")
    @operation(None, {200: Alive})
    def live() -> Response:
        \"\"\"Liveness: the process is running.\"\"\"

The view's signature declares the rest: `asked` is a Struct of the query parameters, `sent` the type of the body, and
all others are path parameters. access.py checks the role, and openapi.py generates the document.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import msgspec
from flask import Flask, Response

from gopher.admin.audit import acting
from gopher.base.near import did_you_mean
from gopher.config.key_kinds import Role
from gopher.errors import InvalidJob
from gopher.interface.operation import Operation
from gopher.jobs.decoding import decode, explain
from gopher.jobs.fields import check_text, schemas_in

from . import audit, scopes
from .context import current_request
from .requests import body

View = Callable[..., Response]
Struct = TypeVar("Struct", bound=msgspec.Struct)
#: Error codes that every operation may return.
_ALWAYS = ("internal",)
_WITH_KEYS = ("unauthorized", "forbidden", "rate_limited")
_WITH_A_BODY = ("bad_request", "invalid_json", "invalid_job", "payload_too_large", "unsupported_media_type")
_WITH_THE_SERVER = ("queue_unavailable", "queue_full", "storage_full", "busy", "outcome_unknown")


def codes_of(declared: Operation) -> tuple[str, ...]:
    """Return every error code that a call may answer with."""
    always = _ALWAYS + (_WITH_KEYS if declared.role is not None else ())
    asked = ("bad_request", "invalid_job") if declared.role is not None else ()
    sent = _WITH_A_BODY if declared.body is not None or declared.sends else ()
    with_server = _WITH_THE_SERVER if declared.role else ()
    changed = ("precondition_failed",) if declared.versioned and declared.method != "GET" else ()
    return tuple(dict.fromkeys([*asked, *sent, *declared.codes, *changed, *always, *with_server]))


def operation(role: Role | None, answers: Mapping[int, Any], *codes: str, **more: Any) -> Callable[[View], View]:
    """Declare a view as an operation: the role it requires, its responses by status, its error codes.

    One that changes something has an `action`, its name in the audit trail.

    A call without a role is open to everyone and ignores unknown query parameters, which probes and pages may get.
    Pages may also call a view directly, with their own `asked` and `sent`. `more` are other fields of `Operation`.
    """

    def declare(view: View) -> View:
        hints = get_type_hints(view, include_extras=True)
        hints.pop("return", None)
        asked, sent = hints.pop("asked", None), hints.pop("sent", None)
        made = Operation(
            role=role,
            answers=answers,
            codes=codes,
            path=hints,
            query=asked,
            body=sent,
            audited="action" in more,
            **more,
            **described(view),
        )
        return checked(view, made)

    return declare


def described(view: View) -> dict[str, Any]:
    """Return summary and description of an operation as its view has them, nothing if it has none."""
    summary, _, description = (inspect.getdoc(view) or "").partition("\n")
    return {"summary": summary.strip(), "description": description.strip()} if summary else {}


def checked(view: View, declared: Operation) -> View:
    """Return a view that reads and checks what its operation takes, before it is called."""
    parameters = inspect.signature(view).parameters.values()
    # A view without `sent` reads its body itself.
    reads_body = any(each.name == "sent" or each.kind is each.VAR_KEYWORD for each in parameters)
    decoder = msgspec.json.Decoder(declared.body) if declared.body is not None and reads_body else None
    empty = None if declared.body_required else declared.body()
    # Where there is a "not_found", an id or name that is none is not found.
    in_path = (
        {} if "not_found" in declared.codes else {name: [*schemas_in(kind)] for name, kind in declared.path.items()}
    )

    is_safe = not declared.audited and declared.body is None

    @wraps(view)
    def called(**arguments: Any) -> Response:
        for name, schemas in in_path.items():
            for schema in schemas:
                check_text(arguments[name], schema, f"/{name}")
        if declared.query is not None:
            arguments["asked"] = arguments.get("asked") or _query(declared.query)
        elif declared.role is not None:
            _query(_Nothing)
        if decoder is not None:
            arguments["sent"] = arguments.get("sent") or _sent(decoder, empty)
        scopes.check(declared, arguments)
        if is_safe:
            return view(**arguments)
        with acting(audit.actor):
            return view(**arguments)

    called.operation = declared  # type: ignore[attr-defined]
    return called


#: Blueprints of pages, with their own access control.
_PAGES = ("dashboard",)
_PAGE = Operation(None, {200: "text/html"}, is_page=True)


def operation_of(app: Flask, endpoint: str | None) -> Operation | None:
    """Return the operation of an endpoint; None for an unknown or undeclared one."""
    view = app.view_functions.get(endpoint or "")
    found: Operation | None = getattr(view, "operation", None)
    return _PAGE if found is None and view and (endpoint or "").partition(".")[0] in _PAGES else found


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The query of an operation without parameters."""


def _query(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Parse the query into a Struct. Raises InvalidJob, also for an unknown or duplicate parameter.

    A misspelt filter must not select everything.
    """
    asked = current_request()
    if not asked.query_string:
        return read_texts(kind, {})
    known = kind.__struct_encode_fields__
    for name, values in asked.args.lists():
        if name not in known:
            raise unknown_parameter(name, known)
        if len(values) > 1:
            raise InvalidJob("is given more than once: send it once", f"/{name}")
    return read_texts(kind, asked.args.to_dict())


def unknown_parameter(name: str, known: Sequence[str]) -> InvalidJob:
    """Return the error for a parameter of a query that is not among the known ones."""
    near = did_you_mean(name, known) or "remove it;"
    return InvalidJob(f"is not a known parameter: {near} supported: {', '.join(known) or 'none'}", f"/{name:.60}")


def read_texts(kind: type[Struct], texts: Mapping[str, str]) -> Struct:
    """Parse the texts of a query or a form into a Struct. Raises InvalidJob, naming the field."""
    try:
        read = msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        problem = explain(error)
        text = texts.get((problem.field or "").lstrip("/"), "")
        raise InvalidJob(f"is {text!r:.60}: {problem.details.partition(', got')[0]}", problem.field) from None
    for field, name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        value = getattr(read, field)
        # msgspec reads None from the word null: a limit that is none would delete everything.
        if name in texts and value is None:
            raise InvalidJob(f"is {texts[name]!r:.60}: give a value, or omit it", f"/{name}")
        # msgspec accepts the words nan and inf, and NaN passes every bound.
        if name in texts and isinstance(value, float) and not math.isfinite(value):
            raise InvalidJob(f"is {texts[name]!r:.60}: expected a number", f"/{name}")
    return read


def _sent(decoder: msgspec.json.Decoder[Any], empty: Any) -> Any:
    data = body()
    return empty if empty is not None and not data else decode(decoder, data)

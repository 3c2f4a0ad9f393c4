"""What each call of the API takes, answers and needs, declared once, beside its view.

    @blueprint.get("/<job_id>")
    @operation("read", {200: JobView}, "not_found")
    def show(job_id: JobId, asked: Waiting) -> Response:
        \"\"\"Show a job; with `wait`, once it has ended.\"\"\"

The view's own parameters say the rest: `asked` is a Struct of the query's parameters, `sent` the type of the body, all
others are of the path. They are read and checked here before the view is called; access.py asks for the role, and
openapi.py writes all of it into the document.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import msgspec
from flask import Flask, Response, g

from gopher.config.kinds import Role
from gopher.errors import InvalidJob
from gopher.jobs.decoding import decode, explain
from gopher.jobs.fields import check_text, schemas_in

from .context import current_request
from .requests import body

View = Callable[..., Response]
Struct = TypeVar("Struct", bound=msgspec.Struct)
#: Codes that every call may answer with.
_ALWAYS = ("internal",)
_WITH_KEYS = ("unauthorized", "forbidden", "rate_limited")
_WITH_A_BODY = ("bad_request", "invalid_json", "invalid_job", "payload_too_large", "unsupported_media_type")
_WITH_THE_SERVER = ("queue_unavailable", "queue_full", "storage_full", "busy", "outcome_unknown")


@dataclass(frozen=True)
class Operation:
    """A call as it is declared. An answer is a type, several of them, or a media type such as text/html."""

    #: None: open to all.
    role: Role | None
    answers: Mapping[int, Any]
    codes: tuple[str, ...]
    summary: str
    description: str
    #: Name -> type of each parameter in the path.
    path: Mapping[str, Any]
    query: type[msgspec.Struct] | None
    body: Any
    body_required: bool
    #: Name -> type of each header that means something to the call.
    headers: Mapping[str, Any] = field(default_factory=dict)
    #: Not a call of the API, but a page that sees itself to who may see it and what it takes.
    is_page: bool = False

    @property
    def all_codes(self) -> tuple[str, ...]:
        """Every error code that the call may answer with."""
        always = _ALWAYS + (_WITH_KEYS if self.role is not None else ())
        asked = ("bad_request", "invalid_job") if self.role is not None else ()
        sent = _WITH_A_BODY if self.body is not None else ()
        return tuple(dict.fromkeys([*asked, *sent, *self.codes, *always, *(_WITH_THE_SERVER if self.role else ())]))


def operation(
    role: Role | None,
    answers: Mapping[int, Any],
    *codes: str,
    body: Any = None,
    headers: Mapping[str, Any] | None = None,
) -> Callable[[View], View]:
    """Declare what a view is for its callers: the role it needs, its answers by status, its codes of errors.

    `body` is for views that read it themselves and have no parameter `sent`. A call without a role is open to all and
    passes over query parameters that it does not know: probes and pages are asked with all sorts of them. A page that
    does what a view does may call it too, with `asked` and `sent` of its own making.
    """

    def declare(view: View) -> View:
        hints = get_type_hints(view, include_extras=True)
        hints.pop("return", None)
        asked, sent = hints.pop("asked", None), hints.pop("sent", None)
        summary, _, description = (inspect.getdoc(view) or "").partition("\n")
        default = inspect.signature(view).parameters["sent"].default if sent else inspect.Parameter.empty
        empty = None if default is inspect.Parameter.empty else default
        made = Operation(
            role=role,
            answers=answers,
            codes=codes,
            summary=summary.strip(),
            description=description.strip(),
            path=hints,
            query=asked,
            body=body if sent is None else sent,
            body_required=empty is None,
            headers=headers or {},
        )
        decoder: msgspec.json.Decoder[Any] | None = None if sent is None else msgspec.json.Decoder(sent)

        # Where there is a "not_found", an id or name that is none is not found.
        checked = {} if "not_found" in codes else {name: list(schemas_in(kind)) for name, kind in hints.items()}

        @wraps(view)
        def called(**arguments: Any) -> Response:
            for name, schemas in checked.items():
                for schema in schemas:
                    check_text(arguments[name], schema, f"/{name}")
            if asked is not None:
                arguments["asked"] = arguments.get("asked") or _query(asked)
            elif role is not None:
                _query(_Nothing)
            if decoder is not None:
                arguments["sent"] = g.sent = arguments.get("sent") or _sent(decoder, empty)
            return view(**arguments)

        called.operation = made  # type: ignore[attr-defined]
        return called

    return declare


#: Blueprints of pages for people, with a gate of their own.
_PAGES = ("dashboard",)
_PAGE = Operation(
    role=None,
    answers={200: "text/html"},
    codes=(),
    summary="",
    description="",
    path={},
    query=None,
    body=None,
    body_required=False,
    is_page=True,
)


def operation_of(app: Flask, endpoint: str | None) -> Operation | None:
    """Return what is declared of an endpoint; None for one that is not there, or not declared."""
    view = app.view_functions.get(endpoint or "")
    found: Operation | None = getattr(view, "operation", None)
    return _PAGE if found is None and view and (endpoint or "").partition(".")[0] in _PAGES else found


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The query of a call that takes no parameters."""


def _query(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the query as a Struct. Raises InvalidJob, also for a parameter that is not known or given twice.

    A filter that is misspelt must not select everything.
    """
    asked = current_request()
    if not asked.query_string:
        return read_texts(kind, {})
    known = kind.__struct_fields__
    for name, values in asked.args.lists():
        if name not in known:
            remedy = f"known here: {', '.join(known) or 'none'}"
            raise InvalidJob(f"is not a known parameter: leave it out; {remedy}", f"/{name:.60}")
        if len(values) > 1:
            raise InvalidJob("is given more than once: send one", f"/{name}")
    return read_texts(kind, asked.args.to_dict())


def read_texts(kind: type[Struct], texts: Mapping[str, str]) -> Struct:
    """Return a Struct of texts, as a query or a form has them. Raises InvalidJob, naming the field."""
    try:
        read = msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        problem = explain(error)
        text = texts.get((problem.field or "").lstrip("/"), "")
        raise InvalidJob(f"is {text!r:.60}: {problem.details.partition(', got')[0]}", problem.field) from None
    for name in texts:
        value = getattr(read, name)
        # msgspec takes the words nan and inf, and NaN is within every bound.
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidJob(f"is {texts[name]!r:.60}: expected a number", f"/{name}")
    return read


def _sent(decoder: msgspec.json.Decoder[Any], empty: Any) -> Any:
    data = body()
    return empty if empty is not None and not data else decode(decoder, data)

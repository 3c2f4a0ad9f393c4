"""/openapi.json: the OpenAPI 3.1 document, generated from the views' declarations and types."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Flask, Response, current_app
from werkzeug.routing import Rule

from gopher import __version__
from gopher.compat import current
from gopher.config.key_kinds import ROLES, Role
from gopher.interface.operation import FILE, Operation
from gopher.jobs.conversion import schema_of_model
from gopher.jobs.handlers import Handler
from gopher.jobs.models import ScheduleView
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import Submission

from . import operations
from .base_path import own_url
from .examples import example
from .operations import operation
from .problems import FAILURES, Problem
from .problems import example as example_of

blueprint = Blueprint("openapi", __name__)

_REF = "#/components/schemas/{name}"
_INTRODUCTION = """\
Jobs, queues, schedules and dead letters. Requests and responses are JSON. Times are RFC 3339 in UTC; durations are
`10s`, `500ms`, `1h30m` or a number of seconds. Unknown parameters and fields are rejected. `payload`, `metadata` and
`result` are returned exactly as they were sent, including the digits of numbers."""
#: Types that hold a job type's name and its payload: there is one of each for every job type.
_TYPED = (Submission, ScheduleSpec)
_HEADERS = {
    "X-Request-ID": {
        "description": "The request's id: the client's own, or a generated one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "Version of a schedule, for If-Match, or of a file, for If-None-Match.",
        "required": True,
        "schema": {"type": "string"},
    },
    # A batch has no Location.
    "Location": {"description": "URL of the created resource, or of the file.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before retrying.",
        "required": True,
        "schema": {"type": "integer"},
    },
    "WWW-Authenticate": {"description": "Bearer", "required": True, "schema": {"type": "string"}},
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer <secret>"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class Call(NamedTuple):
    """A method of a path."""

    path: str
    method: str
    endpoint: str
    operation: Operation


@blueprint.get("/openapi.json")
@operation("submit", {200: "application/json"}, is_about_no_jobs=True)
def openapi() -> Response:
    """Get the OpenAPI document."""
    before, after = _encoded(current(current_app))
    return Response([before, msgspec.json.encode(own_url("") or "/"), after], mimetype="application/json")


@cache
def _encoded(app: Flask) -> tuple[bytes, bytes]:
    """Return the document before and after the URL of the server, which depends on the request."""
    servers = b'"servers":[{"url":%s}]'
    before, found, after = msgspec.json.encode(document(app)).partition(servers % b'"/"')
    assert found
    start, end = servers.split(b"%s")
    return before + start, end + after


def calls(app: Flask) -> Iterator[Call]:
    """Yield all operations of the API, sorted by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        declared = operations.operation_of(app, rule.endpoint)
        for method in sorted(methods_of(rule)):
            if declared is not None and not declared.is_page:
                yield Call(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method, rule.endpoint, declared)


def methods_of(rule: Rule) -> set[str]:
    """Return the methods of a route that are operations, i.e. without HEAD and OPTIONS."""
    return set(rule.methods or ()) - {"HEAD", "OPTIONS"}


def document(app: Flask) -> dict[str, Any]:
    """Return the document of an application: its routes, and its registered job types."""
    gopher = app.extensions["gopher"]
    all_calls = list(calls(app))
    handlers = list(gopher.registry)
    schemas = _Schemas(all_calls, handlers)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for call in all_calls:
        described = _Described(call, schemas, secured=gopher.settings.requires_api_key).as_dict()
        name = call.endpoint.replace(".", "_")
        described["operationId"] = name if name not in names else f"{name}_{call.method.lower()}"
        names.add(name)
        paths.setdefault(call.path, {})[call.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gopher", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": _tags(app),
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": _HEADERS,
            "examples": {code: {"summary": each.error, "value": example_of(each)} for code, each in FAILURES.items()},
            **({"securitySchemes": _SCHEMES} if gopher.settings.requires_api_key else {}),
        },
    }


def _tags(app: Flask) -> list[dict[str, str]]:
    """Return the tags in the order of the blueprints, each described by its module's first sentence."""
    named = {call.endpoint.partition(".")[0] for call in calls(app)}
    sentences = {name: (sys.modules[each.import_name].__doc__ or "") for name, each in app.blueprints.items()}
    return [
        {"name": _tag(name), "description": sentence.partition("\n")[0].rstrip(".")}
        for name, sentence in sentences.items()
        if name in named
    ]


def _tag(blueprint: str) -> str:
    return blueprint.replace("_", " ")


class _Schemas:
    """The component schemas of all types."""

    def __init__(self, all_calls: Iterable[Call], handlers: list[Handler]) -> None:
        kinds: list[Any] = [Problem, *_TYPED, *(handler.payload_type for handler in handlers)]
        kinds += [handler.result.annotation for handler in handlers if handler.result is not None]
        for call in all_calls:
            kinds += [*_types_of(call.operation.answers.values()), *call.operation.path.values()]
            kinds += [call.operation.query, call.operation.body, *call.operation.headers.values()]
        self._kinds = [kind for kind in kinds if kind is not None]
        found, self.components = msgspec.json.schema_components(
            self._kinds, schema_hook=schema_of_model, ref_template=_REF
        )
        self._found = list(found)
        if handlers:
            for kind in _TYPED:
                self._split(self.schema_for(kind)["$ref"].rpartition("/")[2], handlers)

    def schema_for(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a collected type."""
        return dict(self._found[next(index for index, each in enumerate(self._kinds) if each is kind)])

    def resolved(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema, or the one that it refers to."""
        return self.components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else dict(schema)

    def example(self, schema: dict[str, Any], *, whole: bool) -> Any:
        return example(schema, {"$defs": self.components}, whole=whole)

    def _split(self, name: str, handlers: list[Handler]) -> None:
        """Expand a schema with a type and a payload into one for each job type, with that type's payload."""
        whole = self.components[name]
        mapping = {}
        for handler in handlers:
            own = f"{name}.{handler.name}"
            payload = self.schema_for(handler.payload_type)
            fixed = {
                "type": {**whole["properties"]["type"], "const": handler.name, "examples": [handler.name]},
                "payload": payload,
            }
            about = [handler.description, _needs(handler.needs)]
            if handler.result is not None:
                result = f"Result.{handler.name}"
                about.append(f"Its result is described by the schema `{result}`.")
                self.components[result] = {
                    "description": f"The result of a completed job of the type {handler.name}.",
                    **self.schema_for(handler.result.annotation),
                }
            described = {"title": own, "description": "\n\n".join(about).strip()}
            self.components[own] = {**whole, **described, "properties": {**whole["properties"], **fixed}}
            mapping[handler.name] = _REF.format(name=own)
        self.components[name] = {
            "title": name,
            "description": whole["description"],
            "oneOf": [{"$ref": ref} for ref in mapping.values()],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }


def _needs(role: Role | None, *, for_owner: bool = False) -> str:
    if role is None:
        return "Requires no key."
    return f"Requires the role `{role}`{f', or `{ROLES[0]}` for jobs of its owner' if for_owner else ''}."


class _Described:
    """An operation as an OpenAPI object."""

    def __init__(self, call: Call, schemas: _Schemas, *, secured: bool) -> None:
        self._call = call
        self._operation = call.operation
        self._schemas = schemas
        self._secured = secured

    def as_dict(self) -> dict[str, Any]:
        needs = _needs(self._operation.role, for_owner=self._operation.for_owner)
        described: dict[str, Any] = {
            "summary": self._operation.summary,
            "description": f"{self._operation.description}\n\n{needs}".strip(),
            "tags": [_tag(self._call.endpoint.partition(".")[0])],
            "parameters": [*self._path(), *self._query(), *self._headers()],
            "responses": {**self._answers(), **self._failures()},
        }
        if self._operation.body is not None or self._operation.sends:
            content = {"required": self._operation.body_required, "content": self._contents()}
            described["requestBody"] = content
        if self._operation.is_deprecated:
            described["deprecated"] = True
        if self._secured and self._operation.role is not None:
            described["security"] = [{name: []} for name in _SCHEMES]
        return described

    def _contents(self) -> dict[str, Any]:
        """Return the bodies that the call accepts, by media type."""
        body = self._operation.body
        sent = {} if body is None else {"application/json": self._sent(self._schemas.schema_for(body))}
        return {**sent, **self._operation.sends}

    def _path(self) -> Iterator[dict[str, Any]]:
        for name, kind in self._operation.path.items():
            yield _parameter(name, "path", self._schemas.schema_for(kind), required=True)

    def _query(self) -> Iterator[dict[str, Any]]:
        if self._operation.query is not None:
            schema = self._schemas.resolved(self._schemas.schema_for(self._operation.query))
            for name, each in schema["properties"].items():
                yield _parameter(name, "query", _without_null(each), required=name in schema.get("required", ()))

    def _headers(self) -> Iterator[dict[str, Any]]:
        for name, kind in self._operation.headers.items():
            yield _parameter(name, "header", self._schemas.schema_for(kind), required=False)

    def _answers(self) -> dict[str, Any]:
        return {str(status): self._answer(status, kinds) for status, kinds in self._operation.answers.items()}

    def _answer(self, status: int, kinds: Any) -> dict[str, Any]:
        is_versioned = kinds == FILE or (self._operation.versioned and kinds is ScheduleView)
        also = ["ETag"] if is_versioned else []
        described: dict[str, Any] = {"description": _SENTENCES[status], "headers": _header_refs(status, also)}
        if kinds is None:
            return described
        if isinstance(kinds, str):
            return {**described, "content": {kinds: {"schema": {}}}}
        found = [self._schemas.schema_for(kind) for kind in _types_of([kinds])]
        schema = found[0] if len(found) == 1 else {"anyOf": found}
        others = [kind for kind in kinds if isinstance(kind, str)] if isinstance(kinds, tuple) else []
        content = {"application/json": self._shown(schema, whole=True), **{kind: {"schema": {}} for kind in others}}
        return {**described, "content": content}

    def _failures(self) -> dict[str, Any]:
        by_status: dict[int, list[str]] = {}
        for code in operations.codes_of(self._operation):
            by_status.setdefault(FAILURES[code].status, []).append(code)
        return {str(status): self._failure(status, codes) for status, codes in sorted(by_status.items())}

    def _failure(self, status: int, codes: list[str]) -> dict[str, Any]:
        problem = self._schemas.schema_for(Problem)
        schema = {"allOf": [problem, {"properties": {"code": {"enum": codes}}}]}
        examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
        return {
            "description": " ".join(FAILURES[code].error for code in codes),
            "headers": _header_refs(status),
            "content": {"application/json": {"schema": schema, "examples": examples}},
        }

    def _sent(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a body with an example; if it depends on the job type, one for each type."""
        mapping = self._schemas.resolved(schema).get("discriminator", {}).get("mapping", {})
        if not mapping:
            return self._shown(schema, whole=False)
        examples = {name: self._schemas.example({"$ref": ref}, whole=False) for name, ref in mapping.items()}
        return {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}

    def _shown(self, schema: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        return {"schema": schema, "example": self._schemas.example(schema, whole=whole)}


_SENTENCES = {
    200: "OK.",
    201: "Created.",
    202: "Accepted; still running.",
    206: "A part of the file.",
    302: "The file is at the URL in Location.",
    304: "The file is still the same.",
    503: "Temporarily unavailable.",
}


def _types_of(answers: Iterable[Any]) -> Iterator[Any]:
    """Yield the types in declared answers, which may also be tuples of types, or media types."""
    for each in answers:
        if isinstance(each, tuple):
            yield from (kind for kind in each if not isinstance(kind, str))
        elif each is not None and not isinstance(each, str):
            yield each


def _header_refs(status: int, also: Sequence[str] = ()) -> dict[str, Any]:
    names = ["X-Request-ID", *also]
    names += {
        201: ["Location"],
        302: ["Location"],
        401: ["WWW-Authenticate"],
        429: ["Retry-After"],
        503: ["Retry-After"],
    }.get(status, [])
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    schema = dict(schema)
    description = schema.pop("description", "")
    described = {"name": name, "in": place, "required": required, "schema": schema}
    return {**described, "description": description} if description else described


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional parameter without null, which a query can't contain."""
    left = {name: value for name, value in schema.items() if name != "default" or value is not None}
    choices = [choice for choice in left.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        left.pop("anyOf")
        left |= choices[0]
    return left

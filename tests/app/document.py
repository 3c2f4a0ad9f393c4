"""The API's document, and whether an answer is as it says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import quote

import httpx
import pytest
from gopher.app import create_app, openapi
from jsonschema_rs import Draft202012, Draft202012Validator, Registry

from gopher.config.settings import Settings
from gopher.jobs.handlers import registry


@contextmanager
def only_shipped_handlers() -> Iterator[None]:
    """Let there be none of those that other tests have registered in this process."""
    shipped = {each.name: each for each in registry if each.function.__module__.startswith("gopher.")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_handlers", shipped)
        yield


@cache
def document() -> dict:
    """The document of an API with the shipped handlers."""
    app = create_app(Settings())
    with only_shipped_handlers():
        return openapi.document(app)


@cache
def _registry() -> Registry:
    return Registry([("urn:document", document())], draft=Draft202012)


@cache
def validator(pointer: tuple) -> Draft202012Validator:
    """Return what checks a value against the schema at a place of the document."""
    # A reference into the whole: a copy of all components for each of 751 places would take gigabytes.
    steps = (quote(str(step).replace("~", "~0").replace("/", "~1")) for step in pointer)
    place = {"$ref": f"urn:document#/{'/'.join(steps)}"}
    return Draft202012Validator(place, validate_formats=True, registry=_registry())


@cache
def _templates() -> list[tuple[re.Pattern, str]]:
    # Those without parameters first: /jobs/types is no job.
    paths = sorted(document()["paths"], key=lambda path: ("{" in path, path))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


def pointer_to(method: str, path: str) -> tuple | None:
    """Return where the document has a call, None when it has not."""
    for pattern, template in _templates():
        if pattern.fullmatch(path) and method.lower() in document()["paths"][template]:
            return ("paths", template, method.lower())
    return None


def check_answer(answer: httpx.Response) -> None:
    """Fail when an answer has a status, a type, headers or a shape that the document does not say."""
    request, status = answer.request, str(answer.status_code)
    place = pointer_to(
        "GET" if request.method == "HEAD" else request.method, request.url.raw_path.decode().split("?")[0]
    )
    # The dashboard's pages are for people.
    if request.method == "OPTIONS" or request.url.path.partition("/dashboard")[0] == "":
        return
    assert re.fullmatch("[A-Za-z0-9._:-]{1,128}", answer.headers["X-Request-ID"])
    if place is None:
        assert answer.status_code in (400, 401, 403, 404, 405, 413, 415), answer
        place = ("components", "schemas", "Problem")
    else:
        declared = document()
        for step in place:
            declared = declared[step]
        assert status in declared["responses"], f"{place} answers with {status}: {answer.read()!r:.300}"
        response = declared["responses"][status]
        for name in response["headers"]:
            required = document()["components"]["headers"][name].get("required")
            assert not required or name in answer.headers, f"{place} {status} without {name}"
        kinds = response.get("content", {"*/*": {}})
        if "*/*" in kinds:
            return
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind in kinds, f"{place} {status} is {kind}"
        place = (*place, "responses", status, "content", kind, "schema")
    if answer.headers["Content-Type"] == "application/json" and request.method != "HEAD":
        answer.read()
        errors = list(validator(place).iter_errors(answer.json()))
        assert not errors, f"{place}: {errors[0].message} at {errors[0].instance_path}"

"""Responses: JSON, with payloads as they were sent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from flask import Flask, Response
from werkzeug.datastructures import Headers

#: Defaults of every response. JSON loads nothing, and can't be framed.
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_NAMES = frozenset(name.lower() for name, _ in HEADERS)


class Answer(Response):
    """A JSON response of this API, whose body and headers need no further checks."""

    #: Sent after the other headers. They are constants, which `Headers` would check one by one.
    hardening: Sequence[tuple[str, str]] = ()

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers. Werkzeug would copy them, parse Location as an IRI, and count the body's bytes."""
        return self.headers

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        """Return the body. Werkzeug would wrap it in a generator to close it; there is nothing to close."""
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()

    def get_wsgi_response(self, environ: Any) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        body, status, headers = super().get_wsgi_response(environ)
        return body, status, [*headers, *self.hardening]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON response of anything that msgspec can encode. URLs in `headers` are plain ASCII."""
    data = msgspec.json.encode(body)
    # `Headers(...)` takes twice as long.
    said = Headers()
    said.add("Content-Type", "application/json")
    said.add("Content-Length", str(len(data)))
    for name, value in (headers or {}).items():
        said.add(name, value)
    return Answer([data], status, said)


def install(app: Flask) -> None:
    @app.after_request
    def harden(response: Response) -> Response:
        present = {name.lower() for name, _ in response.headers}
        missing = HEADERS
        if not _NAMES.isdisjoint(present):
            missing = [each for each in HEADERS if each[0].lower() not in present]
        if isinstance(response, Answer):
            response.hardening = missing
        else:
            # `setdefault` raises and catches an exception for each missing one.
            for name, value in missing:
                response.headers.add(name, value)
        return response

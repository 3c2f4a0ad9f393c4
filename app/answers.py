"""Answers: JSON made of the views as they are, so that a payload comes back to the digit."""

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Flask, Response

#: Of every answer whose view has not set them itself. JSON loads nothing, and is shown inside of nothing.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Count(msgspec.Struct):
    """How many jobs it was done to."""

    count: int


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer of anything that msgspec can write."""
    return Response(msgspec.json.encode(body), status, headers, mimetype="application/json")


def install(app: Flask) -> None:
    @app.after_request
    def harden(response: Response) -> Response:
        # `setdefault` raises and catches an error for each that is not there.
        present = {name.lower() for name, _ in response.headers}
        for name, value in _HEADERS.items():
            if name.lower() not in present:
                response.headers.add(name, value)
        return response

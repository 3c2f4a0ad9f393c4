"""Answers: JSON made of the views as they are, so that a payload comes back to the digit."""

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Flask, Response


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer of anything that msgspec can write."""
    return Response(msgspec.json.encode(body), status, headers, mimetype="application/json")


def install(app: Flask) -> None:
    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

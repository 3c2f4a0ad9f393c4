"""CORS: origins whose pages may call the API (GOPHER_CORS_ORIGINS)."""

import re

from flask import Flask

from gopher.config.settings import Settings


def install(app: Flask, settings: Settings) -> None:
    if not settings.cors_origins:
        return
    from flask_cors import CORS

    CORS(
        app,
        origins=[each if each == "*" else re.compile(re.escape(each) + r"\Z") for each in settings.cors_origins],
        allow_headers=[
            "Authorization",
            "Content-Disposition",
            "Content-Type",
            "Idempotency-Key",
            "If-None-Match",
            "Prefer",
            "Range",
            "X-API-Key",
            "X-Request-ID",
            "traceparent",
            "tracestate",
        ],
        expose_headers=[
            *("Location", "Retry-After", "X-Request-ID", "Idempotent-Replayed"),
            *("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"),
            *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
        ],
        max_age=600,
    )

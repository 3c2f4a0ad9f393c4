"""CORS: origins whose pages may call the API (GOPHER_CORS_ORIGINS)."""

from flask import Flask

from gopher.config.settings import Settings


def install(app: Flask, settings: Settings) -> None:
    if not settings.cors_origins:
        return
    from flask_cors import CORS

    CORS(
        app,
        origins=list(settings.cors_origins),
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Prefer",
            "X-API-Key",
            "X-Request-ID",
            "traceparent",
            "tracestate",
        ],
        expose_headers=[
            *("Location", "Retry-After", "X-Request-ID", "Idempotent-Replayed"),
            *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
        ],
        max_age=600,
    )

"""Who may call what, by GOPHER_API_KEYS: submit < read < admin."""

import hashlib
import hmac

from flask import Flask, g, request
from werkzeug.exceptions import Forbidden, Unauthorized

from gopher.settings import Settings
from gopher.values import ROLES, ApiKey, Role

#: What a key that may only submit can call; all else needs `read`, or `admin` when it changes something.
_SUBMITTING = {"jobs.submit", "jobs.submit_batch"}


def install(app: Flask, settings: Settings) -> None:
    if not settings.api_keys:
        return

    @app.before_request
    def check() -> None:
        # A browser asks with OPTIONS, without a key, whether it may send one.
        if request.method == "OPTIONS" or request.path == "/health" or request.path.startswith("/health/"):
            return
        key = _key_of(_secret(), settings.api_keys)
        needed = _needed_role()
        g.key_name = key.name
        if ROLES.index(key.role) < ROLES.index(needed):
            raise Forbidden(f"key {key.name!r} has the role {key.role}: {needed} is needed")


def _secret() -> bytes:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    secret = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    if not secret:
        raise Unauthorized("send a key: Authorization: Bearer <secret>, or X-API-Key: <secret>")
    # Headers are handed over as latin-1; what was sent is UTF-8.
    return secret.encode("latin-1", "replace")


def _key_of(secret: bytes, keys: tuple[ApiKey, ...]) -> ApiKey:
    digest = hashlib.sha256(secret).digest()
    # All are compared, whichever fits: how long it takes tells nothing.
    fitting = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    if not fitting:
        raise Unauthorized("this key is not known here")
    return fitting[0]


def _needed_role() -> Role:
    if request.endpoint in _SUBMITTING:
        return "submit"
    return "read" if request.method in ("GET", "HEAD") else "admin"

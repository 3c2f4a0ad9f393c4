"""Who may call what, by GOPHER_API_KEYS: submit < read < admin."""

import hashlib
import hmac

from flask import Flask, Request, g
from werkzeug.exceptions import Forbidden, Unauthorized

from gopher.settings import Settings
from gopher.values import ROLES, ApiKey, Role

from . import rates
from .context import current_request
from .operations import of

_HOW = "send a key: Authorization: Bearer <secret>, or X-API-Key: <secret>"


def install(app: Flask, settings: Settings) -> None:
    """Find out who calls, count the call (rates.py), and refuse whom the call's role does not admit, in this order.

    So those who try keys are counted too, by their addresses.
    """
    keys, count = settings.api_keys, rates.install(app, settings)
    if not keys and count is None:
        return

    @app.before_request
    def admit() -> None:
        asked = current_request()
        if keys:
            _identify(asked, keys)
        if count is not None:
            count(asked)
        if keys:
            _check(app, asked)


def _identify(asked: Request, keys: tuple[ApiKey, ...]) -> None:
    about = g._get_current_object()
    try:
        about.key = key = key_of(_secret(asked), keys)
        about.key_name = key.name
    except Unauthorized:
        # Whether that matters is seen once the call is counted.
        about.key = None


def _check(app: Flask, asked: Request) -> None:
    needed = _needed_role(app, asked)
    # A browser asks with OPTIONS, without a key, whether it may send one.
    if needed is None or asked.method == "OPTIONS":
        return
    if g.key is None:
        raise Unauthorized("this key is not known here" if _secret(asked) else _HOW)
    require(needed)


def require(role: Role) -> None:
    """Refuse this request unless its key has a role, for what only some requests of a call ask for."""
    about = g._get_current_object()
    about.needed, key = role, about.get("key")
    if key is not None and ROLES.index(key.role) < ROLES.index(role):
        raise Forbidden(f"key {key.name!r} has the role {key.role}: {role} is needed")


def _secret(asked: Request) -> bytes:
    """Return the secret that was sent, b"" without one."""
    scheme, _, bearer = asked.headers.get("Authorization", "").partition(" ")
    secret = bearer.strip() if scheme.lower() == "bearer" else asked.headers.get("X-API-Key", "")
    # Headers are handed over as latin-1; what was sent is UTF-8.
    return secret.encode("latin-1", "replace")


def key_of(secret: bytes, keys: tuple[ApiKey, ...]) -> ApiKey:
    """Return the key with this secret. Raises Unauthorized."""
    digest = hashlib.sha256(secret).digest()
    # All are compared, whichever fits: how long it takes tells nothing.
    fitting = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    if not fitting:
        raise Unauthorized("this key is not known here")
    return fitting[0]


def _needed_role(app: Flask, asked: Request) -> Role | None:
    """Return what the view declares. Where there is none, one must be allowed to look to be told so."""
    declared = of(app, asked.endpoint)
    return declared.role if declared else "read"

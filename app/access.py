"""Access control by GOPHER_API_KEYS. Roles: submit < read < admin."""

import hashlib
import hmac

from flask import Flask, Request, g
from werkzeug.exceptions import Forbidden, Unauthorized

from gopher.compat import current
from gopher.config.kinds import ROLES, ApiKey, Role
from gopher.config.settings import Settings
from gopher.errors import RoleNeeded
from gopher.jobs.handlers import Handler, Registry
from gopher.jobs.owners import TRUSTED, Submitter

from . import audit, rates
from .context import context, current_request
from .operations import operation_of

_HOW = "send a key: Authorization: Bearer <secret>, or X-API-Key: <secret>"


def install(app: Flask, settings: Settings) -> None:
    """Authenticate the caller, count the request (rates.py), then check the caller's role, in this order.

    So guesses at keys are counted too, by address.
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
    about = current(g)
    try:
        about.key = key = key_of(_secret(asked), keys)
        about.key_name = key.name
    except Unauthorized:
        # Rejected, if need be, once the request is counted.
        about.key = None


def _check(app: Flask, asked: Request) -> None:
    needed = _needed_role(app, asked)
    # A browser's preflight request (OPTIONS) has no key.
    if needed is None or asked.method == "OPTIONS":
        return
    if g.key is None:
        raise Unauthorized("unknown API key" if _secret(asked) else _HOW)
    require(needed)


def require(role: Role) -> None:
    """Require a role of this request's key, for operations that need it for some requests only."""
    g.needed = role
    if not _has(role):
        raise Forbidden(f"key {g.key.name!r} has the role {g.key.role}: this requires {role}")


def submitter() -> Submitter:
    """Return the owner of jobs submitted with this request: the name of its key, whichever of its secrets is used."""
    key = g.get("key")
    return TRUSTED if key is None else Submitter(key.name, sees_all=_has("read"))


def job_types() -> Registry:
    """Return the job types for this request's submissions, which reject types that require a higher role."""
    return context().registry.guarded(_admit)


def _admit(handler: Handler) -> None:
    needed = handler.needs
    if needed == "submit":
        return
    if needed == "admin":
        # Audited like operations that require the role.
        g.needed = needed
        audit.note(types=sorted({*g.get("audit", {}).get("types", ()), handler.name}))
    if not _has(needed):
        raise RoleNeeded(
            f"a job of type {handler.name!r} requires a key with the role {needed}: "
            f"key {g.key.name!r} has the role {g.key.role}",
            "/type",
        )


def _has(role: Role) -> bool:
    """Return whether the caller has a role. Without keys everyone does; the dashboard checks its visitors itself."""
    key = g.get("key")
    return key is None or ROLES.index(key.role) >= ROLES.index(role)


def _secret(asked: Request) -> bytes:
    """Return the secret of a request, b"" without one."""
    scheme, _, bearer = asked.headers.get("Authorization", "").partition(" ")
    secret = bearer.strip() if scheme.lower() == "bearer" else asked.headers.get("X-API-Key", "")
    # WSGI decodes headers as latin-1; clients send UTF-8.
    return secret.encode("latin-1", "replace")


def key_of(secret: bytes, keys: tuple[ApiKey, ...]) -> ApiKey:
    """Return the key with this secret. Raises Unauthorized."""
    digest = hashlib.sha256(secret).digest()
    # Compares with all keys, so that the time taken reveals nothing.
    fitting = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    if not fitting:
        raise Unauthorized("unknown API key")
    return fitting[0]


def _needed_role(app: Flask, asked: Request) -> Role | None:
    """Return the role that the view declares; `read` for unknown routes, so that 404 needs a key, too."""
    declared = operation_of(app, asked.endpoint)
    return declared.role if declared else "read"

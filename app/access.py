"""Access control by API keys. Roles: submit < read < admin."""

from collections.abc import Sequence

import msgspec
from flask import Flask, Request, current_app, g
from werkzeug.exceptions import Forbidden, Unauthorized

from gopher.compat import current
from gopher.config.key_kinds import ROLES, Role
from gopher.config.settings import Settings
from gopher.errors import BatchNotFound, RoleNeeded, ServerError
from gopher.jobs.handlers import Handler
from gopher.jobs.job import NewJob
from gopher.jobs.owners import TRUSTED, Submitter, of_tenant
from gopher.jobs.registry import Registry
from gopher.queue.missing import no_such_job

from . import audit, rates
from .context import context, current_request, gopher
from .operations import operation_of
from .requests import path_template

_HOW = "send a key: Authorization: Bearer <secret>, or X-API-Key: <secret>"


def install(app: Flask, settings: Settings) -> None:
    """Authenticate the caller, count the request (rates.py), then check the caller's role, in this order.

    So guesses at keys are counted too, by address.
    """
    count = rates.install(app, settings)

    @app.before_request
    def admit() -> None:
        asked = current_request()
        if "is_checked" in current(g):
            # When the head of this request was checked (requests.py).
            return
        _identify(asked)
        if count is not None:
            count(asked)
        _check(app, asked)


def _identify(asked: Request) -> None:
    """Find the key of a request. If it is rejected, then once the request is counted."""
    secret = _secret(asked)
    if not secret:
        return
    about = current(g)
    try:
        about.key = key = context().keyring.find(secret)
    except ServerError as error:
        about.key_error = error
        return
    if key is not None:
        about.key_name = key.name


def _check(app: Flask, asked: Request) -> None:
    needed = _needed_role(app, asked)
    # A browser's preflight request (OPTIONS) has no key.
    if needed is None or asked.method == "OPTIONS":
        return
    about = current(g)
    if "key_error" in about:
        raise about.key_error
    if about.get("key") is None:
        if not context().keyring.required():
            return
        if not _secret(asked):
            raise Unauthorized(_HOW)
        audit.refuse("authenticate", {"method": asked.method, "path": path_template(asked)}, "unknown API key")
        raise Unauthorized("unknown API key: it is wrong, revoked or expired")
    if not _has(needed) and _is_for_owner(app, asked):
        batch_id = (asked.view_args or {}).get("batch_id")
        _require_own_job(asked, needed) if batch_id is None else _require_own_batch(batch_id, needed)
    else:
        require(needed)


def require(role: Role, action: str = "") -> None:
    """Require a role of this request's key, for its operation or for an `action` of the audit trail."""
    if not _has(role):
        asked = current_request()
        declared = operation_of(current_app, asked.endpoint)
        if not action and declared is not None and declared.audited:
            action = declared.action
        if action:
            audit.deny(action, asked.view_args or {})
        raise Forbidden(f"key {g.key.name!r} has the role {g.key.role}: this requires {role}")


def _require_own_batch(batch_id: str, role: Role) -> None:
    """Require the role unless a batch belongs to the caller."""
    caller, place = submitter(), gopher().batches.place(batch_id)
    if place is None or not caller.owns(place.owner):
        if caller.sees_all:
            require(role)
        raise BatchNotFound(f"there is no batch {batch_id:.60}, or it ended longer ago than it is kept")


def _require_own_job(asked: Request, role: Role) -> None:
    """Require the role unless the request's job belongs to the caller.

    For callers that may not see jobs of other owners, these do not exist.
    """
    caller, job_id = submitter(), (asked.view_args or {})["job_id"]
    place = gopher().inspector.place(job_id, lambda place: caller.owns(place.owner))
    if place is None:
        if caller.sees_all:
            require(role)
        raise no_such_job(gopher().server, job_id)
    handler = context().registry.get(place.type)
    # A handler may have submitted it, which may submit all types.
    if handler is not None and not _has(handler.needs):
        raise Forbidden(
            f"key {g.key.name!r} has the role {g.key.role}: jobs of type {place.type!r} require {handler.needs}"
        )


def submitter() -> Submitter:
    """Return the owner of jobs submitted with this request: the name of its key, whichever of its secrets is used."""
    key = g.get("key")
    return TRUSTED if key is None else Submitter(key.name, _has("read"), key if key.is_limited else None)


def with_options_of_key(jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return this request's jobs with the durability and the tenant of the key, unless they have one themselves."""
    key = g.get("key")
    jobs = [*jobs]
    if key is not None and key.durability:
        jobs = [job if job.durability else msgspec.structs.replace(job, durability=key.durability) for job in jobs]
    if key is not None and key.tenant:
        jobs = [job if job.tenant else of_tenant(job, key.tenant) for job in jobs]
    return jobs


def job_types() -> Registry:
    """Return the job types for this request's submissions, which reject types that require a higher role."""
    return context().registry.guarded(_admit)


def _admit(handler: Handler) -> None:
    needed = handler.needs
    if not _has(needed):
        if needed == "admin":
            # Audited like operations that require the role.
            audit.deny("jobs.submit", {"type": handler.name})
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


def _needed_role(app: Flask, asked: Request) -> Role | None:
    """Return the role that the view declares; `read` for unknown routes, so that 404 needs a key, too."""
    declared = operation_of(app, asked.endpoint)
    return declared.role if declared else "read"


def _is_for_owner(app: Flask, asked: Request) -> bool:
    declared = operation_of(app, asked.endpoint)
    return declared is not None and declared.for_owner

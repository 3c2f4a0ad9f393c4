"""Access to the dashboard: visitors sign in with an API key, and get a session (sessions.py).

While no API key is required, the dashboard is reachable from this machine only, like the API, and everyone may do
everything.
"""

import hashlib
import hmac
import math
import secrets
from typing import NamedTuple

from flask import Response, g, redirect, request, url_for
from gopher.app import audit
from gopher.app.base_path import own_url
from gopher.app.caller import requires_key
from gopher.app.context import context, gopher
from gopher.app.requests import has_body
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as BaseResponse

from gopher.config.key_kinds import Role
from gopher.jobs.lists import DENIED

from .attempts import Attempt
from .frame import bare_page, blueprint, forget, is_refresh, own_path, put_cookie
from .sessions import Sessions

_COOKIE = "gopher_dashboard"
#: Open to everyone: they contain nothing about the queues.
_OPEN = ("dashboard.asset", "dashboard.sign_in", "dashboard.open_session")
#: What a read-only key can still do.
_HARMLESS = ("dashboard.sign_out",)


class Visitor(NamedTuple):
    """A signed-in visitor. `name` is the key's, None without keys; `token` is the CSRF token of forms."""

    name: str | None
    role: Role
    token: str


@blueprint.before_request
def _admit() -> BaseResponse | None:
    # A key in a header opens no page, and says nothing of who is in front of it.
    g.pop("key_name", None)
    if "key" in g:
        g.key = None
    if request.endpoint in _OPEN:
        return None
    visitor = _visitor()
    if visitor is None:
        return _to_sign_in()
    g.visitor = visitor
    if visitor.name is not None:
        g.key_name = visitor.name
    if request.method not in ("GET", "HEAD", "OPTIONS") and has_body():
        _check_act(visitor)
    return None


@blueprint.after_request
def _begin_session(answer: Response) -> Response:
    """Without keys, the cookie only ties forms to the browser that they were rendered for."""
    if "new_session" in g:
        put_cookie(answer, _COOKIE, g.new_session)
    return answer


@blueprint.get("/sign-in")
def sign_in() -> BaseResponse:
    target = own_path(request.args.get("next"))
    if not requires_key():
        return redirect(target)
    return _sign_in_page(target)


@blueprint.post("/sign-in")
def open_session() -> BaseResponse:
    target = own_path(request.form.get("next"))
    attempt = Attempt(context().doorkeeper.server, request.remote_addr or "")
    if wait := math.ceil(attempt.begin()):
        audit.refuse("sign_in", {}, "too many attempts")
        page = _sign_in_page(target, f"Too many attempts to sign in. Try again in {wait} s.", 429)
        page.headers["Retry-After"] = str(wait)
        return page
    key = context().keyring.find(request.form.get("key", "").strip().encode())
    if key is None:
        audit.refuse("sign_in", {}, "unknown API key")
        return _sign_in_page(target, "Unknown API key.", 401)
    attempt.succeed()
    g.key, g.key_name = key, key.name
    if key.role == "submit":
        audit.record_act("sign_in", {}, result=DENIED)
        problem = f"The key {key.name} has the role submit. The dashboard requires a key with the role read or admin."
        return _sign_in_page(target, problem, 403)
    if key.is_limited:
        audit.record_act("sign_in", {}, result=DENIED)
        problem = f"The key {key.name} is limited to some queues or job types. The dashboard shows all of them."
        return _sign_in_page(target, problem, 403)
    _end_session()
    session = _sessions().begin(key)
    audit.record_act("sign_in", {}, details=key.role)
    answer = redirect(target, 303)
    put_cookie(answer, _COOKIE, session, int(context().settings.session_max))
    return answer


@blueprint.post("/sign-out")
def sign_out() -> BaseResponse:
    _end_session()
    if g.visitor.name is not None:
        audit.record_act("sign_out", {})
    answer = redirect(url_for("dashboard.sign_in"), 303)
    forget(answer, _COOKIE)
    return answer


def _sessions() -> Sessions:
    return Sessions(gopher().server)


def _end_session() -> None:
    """End the session of this browser, if it has one."""
    if requires_key() and _COOKIE in request.cookies:
        _sessions().end(request.cookies[_COOKIE])


def _visitor() -> Visitor | None:
    session = request.cookies.get(_COOKIE, "")
    if not requires_key():
        if not session:
            session = g.new_session = secrets.token_urlsafe(24)
        return Visitor(None, "admin", _token(session))
    # A page that refreshes itself is no click: a session also ends behind an open page.
    keys_named = context().keyring.named
    key = _sessions().key_of(session, keys_named, is_click=not is_refresh()) if session else None
    # Looked up with each request, so that a removed key or role takes effect immediately, a revoked one in seconds.
    if key is None or key.role == "submit" or key.is_limited:
        return None
    return Visitor(key.name, key.role, _token(session))


def _token(session: str) -> str:
    """Return the CSRF token of this session."""
    return hashlib.sha256(b"gopher form " + session.encode()).hexdigest()


def _check_act(visitor: Visitor) -> None:
    given = request.form.get("token", "")
    if not hmac.compare_digest(given.encode(), visitor.token.encode()):
        raise Forbidden("this form belongs to another session: go back, reload the page and try again")
    if visitor.role != "admin" and request.endpoint not in _HARMLESS:
        audit.deny(request.endpoint or "", request.view_args or {})
        raise Forbidden(f"key {visitor.name!r} has the role {visitor.role}: this requires admin")


def _to_sign_in() -> BaseResponse:
    target = own_url(request.full_path.rstrip("?")) if request.method == "GET" else None
    place = url_for("dashboard.sign_in", next=own_path(target))
    if is_refresh():
        return Response("", 401, {"HX-Redirect": place})
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        # The cookie is not sent when a link on another site is followed. Our own page, loaded again, sends it.
        return bare_page("again.html")
    return redirect(place, 303)


def _sign_in_page(target: str, problem: str = "", status: int = 200) -> BaseResponse:
    return bare_page("sign_in.html", status, target=target, problem=problem)

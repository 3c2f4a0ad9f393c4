"""Access to the dashboard: visitors sign in with an API key, and get a signed session cookie.

Without API keys, the dashboard is reachable from this machine only, like the API, and everyone may do everything.
"""

import hashlib
import hmac
import secrets
from typing import NamedTuple

from flask import Response, g, redirect, request, url_for
from gopher.app.access import key_of
from gopher.app.context import context
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response as BaseResponse

from gopher.config.kinds import ApiKey, Role
from gopher.telemetry.logs import get_logger

from .frame import bare_page, blueprint, forget, is_refresh, own_path, put_cookie

_COOKIE = "gopher_dashboard"
#: Lifetime of a session, in seconds.
_LIFETIME = 12 * 3600
#: Open to everyone: they contain nothing about the queues.
_OPEN = ("dashboard.asset", "dashboard.sign_in", "dashboard.open_session")
#: What a read-only key can still do.
_HARMLESS = ("dashboard.sign_out",)
_log = get_logger("api")


class Visitor(NamedTuple):
    """A signed-in visitor. `name` is the key's, None without keys; `token` is the CSRF token of forms."""

    name: str | None
    role: Role
    token: str


@blueprint.before_request
def _admit() -> BaseResponse | None:
    if request.endpoint in _OPEN:
        return None
    visitor = _visitor()
    if visitor is None:
        return _to_sign_in()
    g.visitor = visitor
    if visitor.name is not None:
        g.key_name = visitor.name
    if request.method not in ("GET", "HEAD", "OPTIONS"):
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
    if not context().settings.api_keys:
        return redirect(target)
    return _sign_in_page(target)


@blueprint.post("/sign-in")
def open_session() -> BaseResponse:
    target = own_path(request.form.get("next"))
    try:
        key = key_of(request.form.get("key", "").strip().encode(), context().settings.api_keys)
    except Unauthorized:
        _log.warning("dashboard sign-in rejected", address=request.remote_addr)
        return _sign_in_page(target, "Unknown API key.", 401)
    if key.role == "submit":
        problem = f"The key {key.name} has the role submit. The dashboard requires a key with the role read or admin."
        return _sign_in_page(target, problem, 403)
    g.key_name = key.name
    _log.warning("dashboard sign-in", address=request.remote_addr, role=key.role)
    answer = redirect(target, 303)
    put_cookie(answer, _COOKIE, _signer(key).dumps(secrets.token_urlsafe(12)), _LIFETIME)
    return answer


@blueprint.post("/sign-out")
def sign_out() -> BaseResponse:
    answer = redirect(url_for("dashboard.sign_in"), 303)
    forget(answer, _COOKIE)
    return answer


def _visitor() -> Visitor | None:
    session = request.cookies.get(_COOKIE, "")
    keys = context().settings.api_keys
    if not keys:
        if not session:
            session = g.new_session = secrets.token_urlsafe(24)
        return Visitor(None, "admin", _token(session))
    for key in keys:
        try:
            _signer(key).loads(session, max_age=_LIFETIME)
        except BadData:
            continue
        # Looked up with each request, so that a removed key or role takes effect immediately.
        return Visitor(key.name, key.role, _token(session)) if key.role != "submit" else None
    return None


def _signer(key: ApiKey) -> URLSafeTimedSerializer:
    """Return the signer of a key's sessions. Any process can verify them, and they become invalid with the key."""
    return URLSafeTimedSerializer(
        key.digest,
        salt=f"gopher dashboard {key.name}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _token(session: str) -> str:
    """Return the CSRF token of this session."""
    return hashlib.sha256(b"gopher form " + session.encode()).hexdigest()


def _check_act(visitor: Visitor) -> None:
    given = request.form.get("token", "")
    if not hmac.compare_digest(given.encode(), visitor.token.encode()):
        raise Forbidden("this form belongs to another session: go back, reload the page and try again")
    if visitor.role != "admin" and request.endpoint not in _HARMLESS:
        raise Forbidden(f"key {visitor.name!r} has the role {visitor.role}: this requires admin")


def _to_sign_in() -> BaseResponse:
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    place = url_for("dashboard.sign_in", next=own_path(target))
    if is_refresh():
        return Response("", 401, {"HX-Redirect": place})
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        # The cookie is not sent when a link on another site is followed. Our own page, loaded again, sends it.
        return bare_page("again.html")
    return redirect(place, 303)


def _sign_in_page(target: str, problem: str = "", status: int = 200) -> BaseResponse:
    return bare_page("sign_in.html", status, target=target, problem=problem)

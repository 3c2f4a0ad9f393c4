"""Who may see the dashboard, and do what: an API key is given once, and a signed cookie stands for it.

Without API keys the API serves this machine only, and so does the dashboard: everybody who reaches it may do all.
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
#: Seconds after which the key has to be given again.
_LIFETIME = 12 * 3600
#: Answered to everybody: nothing of the queues is in them.
_OPEN = ("dashboard.asset", "dashboard.sign_in", "dashboard.open_session")
#: What a key that may not change anything can still do.
_HARMLESS = ("dashboard.sign_out",)
_log = get_logger("api")


class Visitor(NamedTuple):
    """Who looks at the dashboard. `name` is the key's, None where there are no keys; forms carry `token`."""

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
    """Without keys a cookie only ties forms to the browser that they were made for."""
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
        _log.warning("dashboard sign-in refused", address=request.remote_addr)
        return _sign_in_page(target, "This key is not known here.", 401)
    if key.role == "submit":
        problem = f"The key {key.name} may only submit jobs. The dashboard needs one with the role read or admin."
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
        # Told by its key at each request: a role that is taken away, or a key, counts at once.
        return Visitor(key.name, key.role, _token(session)) if key.role != "submit" else None
    return None


def _signer(key: ApiKey) -> URLSafeTimedSerializer:
    """Return what signs the sessions of a key: any process can check them, and they end with the key."""
    return URLSafeTimedSerializer(
        key.digest,
        salt=f"gopher dashboard {key.name}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _token(session: str) -> str:
    """Return what forms carry: only a page of ours, made for this very session, can know it."""
    return hashlib.sha256(b"gopher form " + session.encode()).hexdigest()


def _check_act(visitor: Visitor) -> None:
    given = request.form.get("token", "")
    if not hmac.compare_digest(given.encode(), visitor.token.encode()):
        raise Forbidden("this form was not made for this session: go back, load the page anew and try again")
    if visitor.role != "admin" and request.endpoint not in _HARMLESS:
        raise Forbidden(f"key {visitor.name!r} has the role {visitor.role}: admin is needed")


def _to_sign_in() -> BaseResponse:
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    place = url_for("dashboard.sign_in", next=own_path(target))
    if is_refresh():
        return Response("", 401, {"HX-Redirect": place})
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        # The cookie stays behind when a link on another site is followed. Our own page, loaded again, has it.
        return bare_page("again.html")
    return redirect(place, 303)


def _sign_in_page(target: str, problem: str = "", status: int = 200) -> BaseResponse:
    return bare_page("sign_in.html", status, target=target, problem=problem)

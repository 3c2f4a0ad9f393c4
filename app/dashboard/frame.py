"""What the pages of the dashboard share: their blueprint, their frame, what is said after an act."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, url_for
from gopher.app.context import context, gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher import __version__
from gopher.base import counters, priorities, states
from gopher.errors import InvalidJob
from gopher.jobs.models import Stats

from . import formats

blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")

#: What was done, told by the page that comes after.
_NOTICE = "gopher_notice"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: then a browser would not say either where a form comes from.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
#: The pages in the navigation: endpoint, and its name.
PAGES = (
    ("overview", "Overview"),
    ("jobs", "Jobs"),
    ("dead", "Dead letters"),
    ("schedules", "Schedules"),
    ("queues", "Queues"),
    ("workers", "Workers"),
    ("limits", "Limits"),
)


def page(template: str, *, polls: bool = True, **values: Any) -> Response:
    """Return a page, or of a page that asks for its fresh figures only the part that holds them.

    `polls`: whether it will ask.
    """
    dead = sum(queue.failed for queue in stats().queues.values())
    return bare_page(template, dead_count=dead, pages=PAGES, polls=polls, **values)


def bare_page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page that asks the server nothing."""
    visitor = g.get("visitor")
    html = render_template(
        f"dashboard/{template}",
        layout="dashboard/part.html" if is_refresh() else "dashboard/page.html",
        visitor=visitor,
        may_act=visitor is not None and visitor.role == "admin",
        namespace=context().settings.namespace,
        version=__version__,
        here=request.full_path.rstrip("?"),
        notice=unquote(request.cookies.get(_NOTICE, "")),
        **values,
    )
    answer = Response(html, status, mimetype="text/html")
    if _NOTICE in request.cookies and not is_refresh():
        forget(answer, _NOTICE)
    return answer


def is_refresh() -> bool:
    """Whether a page that is open asks for fresh figures."""
    return request.headers.get("HX-Request") == "true"


def filters(*names: str) -> Mapping[str, str]:
    """Return those parameters of the query that say something: a form also sends its empty fields.

    Raises InvalidJob for one that is not among `names`.
    """
    for name in request.args:
        if name not in names:
            raise InvalidJob(f"is not a known parameter: leave it out; known here: {', '.join(names)}", f"/{name:.60}")
    return {name: value.strip() for name, value in request.args.items() if value.strip()}


def address(asked: Mapping[str, str], cursor: str | None) -> str:
    """Return the address of this page with the same filters, from where `cursor` is; None is the first page."""
    others = {name: value for name, value in asked.items() if name != "cursor"}
    return f"{request.path}?{urlencode({**others, **({'cursor': cursor} if cursor else {})})}"


def done(notice: str) -> BaseResponse:
    """Say what was done, on the page that the form came from."""
    answer = redirect(own_path(request.form.get("next")), 303)
    put_cookie(answer, _NOTICE, quote(notice), max_age=60)
    return answer


def put_cookie(answer: BaseResponse, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that no script reads and that no other site's page makes a browser send."""
    answer.set_cookie(
        name,
        value,
        max_age=max_age,
        path=url_for("dashboard.overview"),
        secure=request.is_secure or request.headers.get("X-Forwarded-Proto", "") == "https",
        httponly=True,
        samesite="Strict",
    )


def forget(answer: BaseResponse, name: str) -> None:
    """Delete a cookie that `put_cookie` has set."""
    answer.delete_cookie(name, path=url_for("dashboard.overview"))


def stats() -> Stats:
    """Return the figures of all queues, read once a request."""
    if "stats" not in g:
        g.stats = gopher().stats()
    found: Stats = g.stats
    return found


def own_path(text: str | None) -> str:
    """Return a path of the dashboard as it is, the overview's for anything else: nobody is sent elsewhere."""
    start = url_for("dashboard.overview")
    try:
        parts = urlsplit(text or "")
    except ValueError:
        return start
    is_ours = parts.path == start or parts.path.startswith(f"{start}/")
    if not text or parts.scheme or parts.netloc or not is_ours or "\\" in text or not text.isprintable():
        return start
    return text


def install(app: Flask) -> None:
    app.jinja_env.filters.update(formats.FILTERS)
    # Templates ask the tables, as code does: {% if job.status in states.ENDED %}.
    app.jinja_env.globals.update(states=states, priorities=priorities, counters=counters)
    app.register_blueprint(blueprint)


@blueprint.after_request
def _harden(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers[name] = value
    return answer

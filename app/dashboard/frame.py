"""What all pages of the dashboard share: blueprint, layout, the notice after an action."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, url_for
from gopher.app.base_path import own_url
from gopher.app.context import context, gopher
from gopher.app.operations import unknown_parameter
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as BaseResponse

from gopher import __version__
from gopher.base import counters, priorities, states
from gopher.jobs.stats import Stats

from . import formats

blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")

#: The notice about the last action, shown by the next page.
_NOTICE = "gopher_notice"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: a browser would then send forms without their Origin, too.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
#: The pages in the navigation: endpoint and title.
PAGES = (
    ("overview", "Overview"),
    ("jobs", "Jobs"),
    ("dead", "Dead letters"),
    ("batches", "Batches"),
    ("schedules", "Schedules"),
    ("queues", "Queues"),
    ("types", "Types"),
    ("workers", "Workers"),
    ("limits", "Limits"),
    ("tenants", "Tenants"),
    ("webhooks", "Webhooks"),
    ("audit", "Audit"),
)
#: Those that only who may do everything can open.
_FOR_ADMINS = ("audit",)


def page(template: str, *, polls: bool = True, **values: Any) -> Response:
    """Render a page, or only its live part if the page is refreshing itself.

    `polls`: whether the page refreshes itself.
    """
    dead = sum(queue.failed for queue in stats().queues.values())
    pages = [row for row in PAGES if row[0] not in _FOR_ADMINS or g.visitor.role == "admin"]
    return bare_page(template, dead_count=dead, pages=pages, polls=polls, **values)


def bare_page(template: str, status: int = 200, **values: Any) -> Response:
    """Render a page without any query to the server."""
    visitor = g.get("visitor")
    html = render_template(
        f"dashboard/{template}",
        layout="dashboard/part.html" if is_refresh() else "dashboard/page.html",
        visitor=visitor,
        may_act=visitor is not None and visitor.role == "admin",
        namespace=context().settings.namespace,
        version=__version__,
        here=own_url(request.full_path.rstrip("?")),
        path=own_url(request.path),
        notice=unquote(request.cookies.get(_NOTICE, "")),
        **values,
    )
    answer = Response(html, status, mimetype="text/html")
    if _NOTICE in request.cookies and not is_refresh():
        forget(answer, _NOTICE)
    return answer


def is_refresh() -> bool:
    """Whether this request is an open page refreshing itself."""
    return request.headers.get("HX-Request") == "true"


def filters(*names: str) -> Mapping[str, str]:
    """Return the query parameters that are not empty: a form also sends its empty fields.

    Raises InvalidJob for one that is not in `names`.
    """
    for name in request.args:
        if name not in names:
            raise unknown_parameter(name, names)
    return {name: value.strip() for name, value in request.args.items() if value.strip()}


def address(asked: Mapping[str, str], cursor: str | None) -> str:
    """Return the URL of this page with the same filters from `cursor` on; None is the first page."""
    others = {name: value for name, value in asked.items() if name != "cursor"}
    return f"{own_url(request.path)}?{urlencode({**others, **({'cursor': cursor} if cursor else {})})}"


def require_admin() -> None:
    """Require the role `admin` for a page that shows what only admins may see."""
    if g.visitor.role != "admin":
        raise Forbidden(f"key {g.visitor.name!r} has the role {g.visitor.role}: this requires admin")


def done(notice: str) -> BaseResponse:
    """Redirect to the page that the form came from, with a notice."""
    answer = redirect(own_path(request.form.get("next")), 303)
    put_cookie(answer, _NOTICE, quote(notice), max_age=60)
    return answer


def put_cookie(answer: BaseResponse, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that scripts can't read and that is not sent with cross-site requests."""
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
    """Return the statistics of all queues, read once per request."""
    if "stats" not in g:
        g.stats = gopher().stats()
    found: Stats = g.stats
    return found


def own_path(text: str | None) -> str:
    """Return `path` if it is one of the dashboard's, otherwise the overview's: redirects never leave the dashboard."""
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
        # A file of a job has a stricter policy.
        answer.headers.setdefault(name, value)
    return answer

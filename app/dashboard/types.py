"""/dashboard/types: the job types; a page of each with throughput, latencies, what attempts use, and failures."""

from typing import Any

from flask import Response, url_for
from gopher.app.answers import answer
from gopher.app.context import context, gopher
from werkzeug.exceptions import NotFound

from gopher.base.names import TYPE_NAME
from gopher.interface.doubts import doubt_about_type
from gopher.reads.job_types import describe
from gopher.reads.type_stats import TypeStats, summaries

from .frame import blueprint, filters, is_refresh, page
from .plots import plots_of, series_of, span_of

#: A page that refreshes itself needs no points: its plots do that.
_NO_PLOTS = "10s"


@blueprint.get("/types")
def types() -> Response:
    filters()
    registered = {handler.name: handler.description for handler in context().registry}
    return page("types.html", registered=registered, types=summaries(context().client.inspector, registered))


@blueprint.get("/types/<job_type>")
def job_type(job_type: str) -> Response:
    span = span_of(filters("span").get("span"))
    found = _stats(job_type, _NO_PLOTS if is_refresh() else span)
    handler = context().registry.get(job_type)
    return page(
        "type.html",
        found=found,
        doubt="" if any(found.totals.values()) else doubt_about_type(gopher(), job_type),
        about=None if handler is None else describe(handler, context().settings),
        # The plots refresh themselves.
        **({} if is_refresh() else _plots(found, span)),
    )


@blueprint.get("/types/<job_type>/series")
def type_series(job_type: str) -> Response:
    return answer(_series(_stats(job_type, span_of(filters("span").get("span")))))


def _stats(job_type: str, window: str) -> TypeStats:
    if not TYPE_NAME.fullmatch(job_type):
        raise NotFound
    return gopher().type_stats(job_type, window)


def _series(found: TypeStats) -> Any:
    return series_of(found.window, found.points, found.totals)


def _plots(found: TypeStats, span: str) -> dict[str, Any]:
    own = {
        "page": url_for("dashboard.job_type", job_type=found.type),
        "feed": url_for("dashboard.type_series", job_type=found.type),
    }
    return plots_of(_series(found), span, **own)

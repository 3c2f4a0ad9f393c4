"""/dashboard: the overview."""

from typing import Any

from flask import Response, url_for
from gopher.app.context import context, gopher

from gopher.reads.health import examine

from .frame import blueprint, filters, is_refresh, page, stats
from .plots import counted, plots_of, series_of, span_of


@blueprint.get("", strict_slashes=False)
def overview() -> Response:
    span = span_of(filters("span").get("span"))
    workers = gopher().workers()
    children = [child for worker in workers for child in worker.children]
    return page(
        "overview.html",
        health=examine(context().client.server),
        stats=stats(),
        workers=workers,
        children=len(children),
        busy=sum(child.job_id is not None for child in children),
        # The plots refresh themselves.
        **({} if is_refresh() else _plots(span)),
    )


def _plots(span: str) -> dict[str, Any]:
    found = gopher().timeline(span)
    series = series_of(found.window, found.points, counted())
    return plots_of(series, span, page=url_for("dashboard.overview"), feed=url_for("dashboard.series"))

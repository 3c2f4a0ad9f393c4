"""/dashboard: how it goes, at a glance."""

from flask import Response
from gopher.app.context import context, gopher

from gopher.health import examine

from .frame import blueprint, filters, page, stats


@blueprint.get("", strict_slashes=False)
def overview() -> Response:
    filters()
    workers = gopher().workers()
    children = [child for worker in workers for child in worker.children]
    return page(
        "overview.html",
        health=examine(context().client),
        stats=stats(),
        workers=workers,
        children=len(children),
        busy=sum(child.job_id is not None for child in children),
    )

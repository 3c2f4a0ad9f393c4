"""/dashboard/workers: who is there, and what each child runs."""

from flask import Response
from gopher.app.context import gopher

from .frame import blueprint, filters, page


@blueprint.get("/workers")
def workers() -> Response:
    filters()
    return page("workers.html", workers=gopher().workers(), schedulers=gopher().inspector.schedulers())

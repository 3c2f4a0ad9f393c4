"""/dashboard/workers: the live workers, and what each child is running."""

from flask import Response
from gopher.app.context import gopher

from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER

from .frame import blueprint, filters, page


@blueprint.get("/workers")
def workers() -> Response:
    filters()
    found, schedulers = gopher().workers(), gopher().inspector.schedulers()
    return page("workers.html", workers=found, schedulers=schedulers, no_scheduler=f"{NO_SCHEDULER}; {START_SCHEDULER}")

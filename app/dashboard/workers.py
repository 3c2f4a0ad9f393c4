"""/dashboard/workers: the live workers, what each child is running, and where in its code."""

from flask import Response
from gopher.app import workers as api_workers
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER

from .acts import act
from .capacity import week_of
from .frame import blueprint, done, filters, page, require_admin


@blueprint.get("/workers")
def workers() -> Response:
    filters()
    found, schedulers = gopher().workers(), gopher().inspector.schedulers()
    needs = gopher().capacity()
    return page(
        "workers.html",
        workers=found,
        schedulers=schedulers,
        no_scheduler=f"{NO_SCHEDULER}; {START_SCHEDULER}",
        capacity=needs,
        week=week_of(needs),
    )


@blueprint.post("/workers/<worker_id>/quiet")
def quiet_worker(worker_id: str) -> BaseResponse:
    act(api_workers.quiet, worker_id=worker_id)
    return done("The worker fetches no more jobs, and finishes those that it runs.")


@blueprint.post("/workers/<worker_id>/stop")
def stop_worker(worker_id: str) -> BaseResponse:
    act(api_workers.stop, worker_id=worker_id)
    return done("The worker finishes its jobs and exits.")


@blueprint.get("/jobs/<job_id>/stack")
def stack(job_id: str) -> Response:
    """Show where a running job is; only for admins, as in the API."""
    filters()
    require_admin()
    return page("stack.html", polls=False, found=act(api_workers.stack, job_id=job_id))

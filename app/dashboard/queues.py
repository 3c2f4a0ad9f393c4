"""/dashboard/queues: every queue by priority; pause, resume or empty it."""

from flask import Response
from gopher.app import flow as api_flow
from gopher.app import queues as api_queues
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.base.states import PURGEABLE
from gopher.jobs.lists import Purge

from .acts import act, filled
from .formats import counted
from .frame import blueprint, done, filters, page, stats


@blueprint.get("/queues")
def queues() -> Response:
    filters()
    return page("queues.html", stats=stats(), paused=gopher().flow.paused_queues(), purgeable=PURGEABLE)


@blueprint.post("/queues/<queue>/pause")
def pause_queue(queue: str) -> BaseResponse:
    act(api_flow.pause_queue, queue=queue)
    return done(f"Queue {queue} paused. Running jobs finish; no new ones start.")


@blueprint.post("/queues/<queue>/resume")
def resume_queue(queue: str) -> BaseResponse:
    act(api_flow.resume_queue, queue=queue)
    return done(f"Queue {queue} resumed.")


@blueprint.post("/queues/<queue>/purge")
def purge(queue: str) -> BaseResponse:
    which = filled(Purge)
    count = act(api_queues.purge, asked=which, queue=queue)["count"]
    return done(f"Deleted {counted(count, f'{which.state} job')} from queue {queue}.")

"""/api/v1/limits, /queues/<q>/pause, /types/<t>/pause: limits and pauses."""

from flask import Blueprint, Response

from gopher.base.rates import format_rate
from gopher.interface import FlowInterface
from gopher.jobs.answers import LimitSet
from gopher.jobs.fields import TypeName
from gopher.jobs.filters import LimitRequest

from .answers import answer
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("flow", __name__)

limits = serve(blueprint, FlowInterface.limits)
clear_limit = serve(blueprint, FlowInterface.clear_limit)
pause_queue = serve(blueprint, FlowInterface.pause_queue)
resume_queue = serve(blueprint, FlowInterface.resume_queue)
pause_type = serve(blueprint, FlowInterface.pause_type)
resume_type = serve(blueprint, FlowInterface.resume_type)


@serves(blueprint, FlowInterface.set_limit)
def set_limit(job_type: TypeName, sent: LimitRequest) -> Response:
    limit = gopher().flow.set_limit(job_type, sent.rate, sent.burst, sent.concurrency)
    rate = None if limit.rate is None else format_rate(limit.rate)
    return answer(LimitSet(job_type, rate, limit.burst, limit.concurrency))

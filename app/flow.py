"""/api/v1/limits, /tenants, /queues/<q>/pause, /types/<t>/pause: limits, tenants and pauses."""

from collections.abc import Callable

from flask import Blueprint, Response
from msgspec import UNSET, UnsetType

from gopher.base.rates import format_rate
from gopher.interface import FlowInterface, Gopher
from gopher.interface.doubts import doubt_about_queue, doubt_about_type
from gopher.jobs.answers import LimitSet, QueuePaused, TypePaused
from gopher.jobs.fields import QueueName, TenantName, TypeName
from gopher.jobs.filters import LimitRequest, TenantRequest

from . import scopes
from .answers import answer
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("flow", __name__)

limits = serve(blueprint, FlowInterface.limits)
clear_limit = serve(blueprint, FlowInterface.clear_limit)
release = serve(blueprint, FlowInterface.release)
tenants = serve(blueprint, FlowInterface.tenants)
clear_tenant = serve(blueprint, FlowInterface.clear_tenant)
resume_queue = serve(blueprint, FlowInterface.resume_queue)
resume_type = serve(blueprint, FlowInterface.resume_type)


@serves(blueprint, FlowInterface.set_limit)
def set_limit(job_type: TypeName, sent: LimitRequest) -> Response:
    warning = _doubt(doubt_about_type, job_type)
    limit = gopher().flow.set_limit(job_type, sent.rate, sent.burst, sent.concurrency, per_key=sent.per_key)
    rate = None if limit.rate is None else format_rate(limit.rate)
    return answer(LimitSet(job_type, rate, limit.burst, limit.concurrency, limit.per_key, warning))


@serves(blueprint, FlowInterface.set_tenant)
def set_tenant(tenant: TenantName, sent: TenantRequest) -> Response:
    return answer(gopher().flow.set_tenant(tenant, sent.weight, sent.rate, sent.burst, sent.concurrency))


@serves(blueprint, FlowInterface.pause_queue)
def pause_queue(queue: QueueName) -> Response:
    warning = _doubt(doubt_about_queue, queue)
    return answer(QueuePaused(queue, paused=True, changed=gopher().flow.pause_queue(queue), warning=warning))


@serves(blueprint, FlowInterface.pause_type)
def pause_type(job_type: TypeName) -> Response:
    warning = _doubt(doubt_about_type, job_type)
    return answer(TypePaused(job_type, paused=True, changed=gopher().flow.pause_type(job_type), warning=warning))


def _doubt(doubt: Callable[[Gopher, str], str], name: str) -> str | UnsetType:
    """Return a warning about a name. It would tell a key that is limited to some names of others."""
    return (not scopes.are_limited() and doubt(gopher(), name)) or UNSET

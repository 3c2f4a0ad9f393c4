"""/api/v1/limits, /queues/<q>/pause, /types/<t>/pause: how fast jobs may start, and whether at all."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response
from msgspec import Meta

from gopher.base.rates import format_rate
from gopher.jobs.fields import QueueName, RateText, TypeName
from gopher.jobs.limit import MOST, Limit
from gopher.jobs.models import LimitView

from .answers import answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("flow", __name__, url_prefix="/api/v1")


class LimitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A limit as it is asked for: `{"rate": "10/s", "burst": 20, "concurrency": 4}`, each of them optional."""

    rate: RateText | None = None
    burst: Annotated[float, Meta(ge=1, le=MOST)] | None = None
    concurrency: Annotated[int, Meta(ge=1, le=MOST)] | None = None


class LimitSet(msgspec.Struct):
    """A limit as it holds from now on."""

    type: TypeName
    rate: RateText | None
    burst: float | None
    concurrency: int | None


class LimitCleared(msgspec.Struct):
    """A type that has no limit any more; `cleared` says whether it had one."""

    type: TypeName
    cleared: bool


class LimitsView(msgspec.Struct):
    """The types that are limited, paused or held back."""

    limits: list[LimitView]


class QueuePaused(msgspec.Struct):
    """Whether a queue gives out jobs; `changed` says whether that is new."""

    queue: QueueName
    paused: bool
    changed: bool


class TypePaused(msgspec.Struct):
    """Whether jobs of a type may start; `changed` says whether that is new."""

    type: TypeName
    paused: bool
    changed: bool


@blueprint.get("/limits")
@operation("read", {200: LimitsView})
def limits() -> Response:
    """List the types that are limited, paused or held back."""
    return answer(LimitsView(gopher().flow.limits()))


@blueprint.put("/limits/<job_type>")
@operation("admin", {200: LimitSet}, "unknown_type")
def set_limit(job_type: TypeName, sent: LimitRequest) -> Response:
    """Limit how fast jobs of a type start, and how many run at once, over the whole fleet."""
    return answer(_shown(job_type, gopher().flow.set_limit(job_type, sent.rate, sent.burst, sent.concurrency)))


@blueprint.delete("/limits/<job_type>")
@operation("admin", {200: LimitCleared})
def clear_limit(job_type: TypeName) -> Response:
    """Take a type's limit away."""
    was_limited = gopher().flow.clear_limit(job_type)
    return answer(LimitCleared(job_type, was_limited))


@blueprint.post("/queues/<queue>/pause")
@operation("admin", {200: QueuePaused}, "too_many_queues")
def pause_queue(queue: QueueName) -> Response:
    """Give out no more jobs of a queue; those that run go on."""
    changed = gopher().flow.pause_queue(queue)
    return answer(QueuePaused(queue, True, changed))


@blueprint.post("/queues/<queue>/resume")
@operation("admin", {200: QueuePaused})
def resume_queue(queue: QueueName) -> Response:
    """Give out jobs of a queue again."""
    changed = gopher().flow.resume_queue(queue)
    return answer(QueuePaused(queue, False, changed))


@blueprint.post("/types/<job_type>/pause")
@operation("admin", {200: TypePaused})
def pause_type(job_type: TypeName) -> Response:
    """Start no more jobs of a type, in any queue; those that run go on."""
    changed = gopher().flow.pause_type(job_type)
    return answer(TypePaused(job_type, True, changed))


@blueprint.post("/types/<job_type>/resume")
@operation("admin", {200: TypePaused})
def resume_type(job_type: TypeName) -> Response:
    """Start jobs of a type again."""
    changed = gopher().flow.resume_type(job_type)
    return answer(TypePaused(job_type, False, changed))


def _shown(job_type: str, limit: Limit) -> LimitSet:
    rate = None if limit.rate is None else format_rate(limit.rate)
    return LimitSet(job_type, rate, limit.burst, limit.concurrency)

"""/api/v1/capacity: how many workers the jobs need, and the same as HireFire and Judoscale read it."""

import hmac
import time

import msgspec
from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from gopher.interface import Gopher
from gopher.jobs.capacity import Capacity
from gopher.jobs.lists import CapacityFilter
from gopher.reads.capacity import capacity as look

from .answers import answer
from .context import context, gopher
from .operations import operation
from .serving import serve

blueprint = Blueprint("scaling", __name__)

capacity = serve(blueprint, Gopher.capacity)


class ProcessType(msgspec.Struct):
    """How many dynos a line of the Procfile needs; `quantity` is the same for earlier versions of HireFire."""

    name: str
    value: int
    quantity: int


@blueprint.get("/hirefire/<token>/info")
@operation(None, {200: list[ProcessType]}, "not_found", "queue_unavailable")
def hirefire(token: str) -> Response:
    """Show how many dynos each process type needs, for HireFire. The token is HIREFIRE_TOKEN."""
    expected = context().settings.hirefire_token
    if not expected or not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), expected.encode()):
        raise NotFound
    return answer([ProcessType(group.name, group.scale_to, group.scale_to) for group in _now().groups])


class JudoscaleReport(msgspec.Struct):
    """What Judoscale's adapters send: metrics are [Unix time, value, measurement, queue]."""

    container: str
    pid: int
    config: dict[str, int]
    adapters: dict[str, dict[str, str]]
    metrics: list[tuple[int, int, str, str]]


def _now() -> Capacity:
    here = gopher()
    return look(here.server, here.inspector, CapacityFilter(), hours=False)


@blueprint.get("/judoscale/report")
@operation("read", {200: JudoscaleReport}, spans_queues=True)
def judoscale() -> Response:
    """Show the report to send to Judoscale: per queue, the oldest waiting job (ms) and the number of running ones."""
    from gopher import __version__

    at = round(time.time())
    metrics: list[tuple[int, int, str, str]] = []
    for name, queue in gopher().stats().queues.items():
        metrics.append((at, round(queue.oldest_waiting_age * 1000), "queue_time", name))
        metrics.append((at, queue.processing, "busy", name))
    adapters = {"gopher": {"adapter_version": __version__}}
    return answer(JudoscaleReport("gopher", 1, {"report_interval_seconds": 10}, adapters, metrics))

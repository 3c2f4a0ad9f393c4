"""/health: for load balancers, platforms and people. Needs no key, and responds even while the server hangs."""

import time
from typing import Literal

import msgspec
from flask import Blueprint, Response
from msgspec import UNSET, UnsetType

from gopher import __version__
from gopher.base.times import to_rfc3339
from gopher.errors import GopherError
from gopher.interface import Gopher
from gopher.jobs.fields import Time
from gopher.reads.health import Health, check_writable, examine

from .answers import answer
from .caller import may_read
from .context import context
from .operations import operation
from .serving import serves

blueprint = Blueprint("health", __name__)


class Alive(msgspec.Struct):
    """The process is running. `version` is for clients that may read."""

    status: Literal["alive"] = "alive"
    version: str | UnsetType = UNSET


class Ready(msgspec.Struct):
    """The server is reachable and writable."""

    status: Literal["ready"] = "ready"


class Unhealthy(msgspec.Struct):
    """The server is unavailable. `error` is for clients that may read."""

    timestamp: Time
    status: Literal["unhealthy"] = "unhealthy"
    error: str | UnsetType = UNSET


@serves(blueprint, Gopher.health, answers={200: Health, 503: Unhealthy})
def health() -> Response:
    try:
        found = examine(context().probe.server)
        return answer(found if may_read() else Health(found.status, found.timestamp))
    except GopherError as error:
        return _unhealthy(error)


@blueprint.get("/health/live")
@operation(None, {200: Alive})
def live() -> Response:
    """Liveness: the process is running."""
    return answer(Alive(version=__version__ if may_read() else UNSET))


@blueprint.get("/health/ready")
@operation(None, {200: Ready, 503: Unhealthy})
def ready() -> Response:
    """Readiness: the server is reachable and writable."""
    try:
        check_writable(context().probe.server)
    except GopherError as error:
        return _unhealthy(error)
    return answer(Ready())


def _unhealthy(error: GopherError) -> Response:
    told = Unhealthy(to_rfc3339(time.time() * 1000), error=str(error) if may_read() else UNSET)
    return answer(told, 503, {"Retry-After": "1"})

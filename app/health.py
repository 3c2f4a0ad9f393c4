"""/health: for load balancers, platforms and people. Needs no key, and responds even while the server hangs."""

from typing import Literal

import msgspec
from flask import Blueprint, Response

from gopher import __version__
from gopher.errors import GopherError
from gopher.interface import Gopher
from gopher.reads.health import Health, check_writable, examine

from .answers import answer
from .context import context
from .operations import operation
from .serving import serves

blueprint = Blueprint("health", __name__)


class Alive(msgspec.Struct):
    """The process is running."""

    version: str
    status: Literal["alive"] = "alive"


class Ready(msgspec.Struct):
    """The server is reachable and writable."""

    status: Literal["ready"] = "ready"


class Unhealthy(msgspec.Struct):
    """The server is unavailable."""

    error: str
    status: Literal["unhealthy"] = "unhealthy"


@serves(blueprint, Gopher.health, answers={200: Health, 503: Unhealthy})
def health() -> Response:
    try:
        return answer(examine(context().probe.server))
    except GopherError as error:
        return _unhealthy(error)


@blueprint.get("/health/live")
@operation(None, {200: Alive})
def live() -> Response:
    """Liveness: the process is running."""
    return answer(Alive(__version__))


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
    return answer(Unhealthy(str(error)), 503, {"Retry-After": "1"})

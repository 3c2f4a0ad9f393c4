"""/health: for load balancers, platforms and people. Open to all, and answered while the server hangs."""

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
    """The process is there."""

    version: str
    status: Literal["alive"] = "alive"


class Ready(msgspec.Struct):
    """The server is reached, and can be written to."""

    status: Literal["ready"] = "ready"


class Unhealthy(msgspec.Struct):
    """The server can't be used."""

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
    """Say that the process is there."""
    return answer(Alive(__version__))


@blueprint.get("/health/ready")
@operation(None, {200: Ready, 503: Unhealthy})
def ready() -> Response:
    """Say whether the server is reached and can be written to."""
    try:
        check_writable(context().probe.server)
    except GopherError as error:
        return _unhealthy(error)
    return answer(Ready())


def _unhealthy(error: GopherError) -> Response:
    return answer(Unhealthy(str(error)), 503, {"Retry-After": "1"})

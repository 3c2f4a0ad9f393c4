"""/health: for load balancers, platforms and people. Open to all, and answered while the server hangs."""

from flask import Blueprint, Response

from gopher import __version__
from gopher.errors import GopherError
from gopher.health import check_writable, examine

from .answers import answer
from .context import context

blueprint = Blueprint("health", __name__, url_prefix="/health")


@blueprint.get("")
def health() -> Response:
    try:
        return answer(examine(context().probe))
    except GopherError as error:
        return _unhealthy(error)


@blueprint.get("/live")
def live() -> Response:
    return answer({"status": "alive", "version": __version__})


@blueprint.get("/ready")
def ready() -> Response:
    try:
        check_writable(context().probe)
    except GopherError as error:
        return _unhealthy(error)
    return answer({"status": "ready"})


def _unhealthy(error: GopherError) -> Response:
    return answer({"status": "unhealthy", "error": str(error)}, 503, {"Retry-After": "1"})

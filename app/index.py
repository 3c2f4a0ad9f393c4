"""/: what is where."""

from flask import Blueprint, Response

from gopher import __version__

from .answers import answer

blueprint = Blueprint("index", __name__)

_LINKS = {
    "jobs": "/api/v1/jobs",
    "job_types": "/api/v1/jobs/types",
    "queue_stats": "/api/v1/queue/stats",
    "workers": "/api/v1/workers",
    "dead_letters": "/api/v1/dlq",
    "health": "/health",
    "metrics": "/metrics",
}


@blueprint.get("/")
def index() -> Response:
    return answer({"name": "gopher", "version": __version__, "links": _LINKS})

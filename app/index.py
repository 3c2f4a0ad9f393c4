"""/: the list of endpoints."""

import msgspec
from flask import Blueprint, Response

from gopher import __version__

from .answers import answer
from .base_path import own_url
from .operations import operation

blueprint = Blueprint("index", __name__)

_LINKS = {
    "jobs": "/api/v1/jobs",
    "job_types": "/api/v1/jobs/types",
    "queue_stats": "/api/v1/queue/stats",
    "workers": "/api/v1/workers",
    "dead_letters": "/api/v1/dlq",
    "audit": "/api/v1/audit",
    "health": "/health",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "docs": "/docs",
    "dashboard": "/dashboard",
}


class Index(msgspec.Struct):
    """Endpoints by name."""

    name: str
    version: str
    links: dict[str, str]


@blueprint.get("/")
@operation("read", {200: Index}, is_about_no_jobs=True)
def index() -> Response:
    """List the endpoints."""
    return answer(Index("gopher", __version__, {name: own_url(path) for name, path in _LINKS.items()}))

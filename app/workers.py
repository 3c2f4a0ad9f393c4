"""/api/v1/workers: who runs the jobs."""

import msgspec
from flask import Blueprint, Response

from gopher.jobs.models import WorkerView

from .answers import answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1/workers")


class Workers(msgspec.Struct):
    """The live workers, the longest running first."""

    workers: list[WorkerView]


@blueprint.get("")
@operation("read", {200: Workers})
def workers() -> Response:
    """List the live workers, and what they run."""
    return answer(Workers(gopher().workers()))

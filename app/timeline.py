"""/api/v1/timeline: what happened over the last hour, day or month, as the points of plots."""

from flask import Blueprint, Response

from gopher.jobs.fields import Checked, Duration, QueueName
from gopher.reads.timeline import Timeline

from .answers import answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("timeline", __name__, url_prefix="/api/v1")


class Window(Checked):
    """How far back to look, and at which queue."""

    window: Duration = "1h"
    queue: QueueName | None = None


@blueprint.get("/timeline")
@operation("read", {200: Timeline})
def timeline(asked: Window) -> Response:
    """Show what happened over the last hour, day or month, in steps."""
    return answer(gopher().timeline(asked.window, asked.queue))

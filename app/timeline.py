"""/api/v1/timeline: what happened over the last hour, day or month, as the points of plots."""

import msgspec
from flask import Blueprint, Response

from gopher.errors import InvalidJob
from gopher.names import QUEUE_NAME
from gopher.shapes import Duration, QueueName
from gopher.timeline import Timeline

from .answers import answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("timeline", __name__, url_prefix="/api/v1")


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """How far back to look, and at which queue."""

    window: Duration = "1h"
    queue: QueueName | None = None


@blueprint.get("/timeline")
@operation("read", {200: Timeline})
def timeline(asked: Window) -> Response:
    """Show what happened over the last hour, day or month, in steps."""
    if asked.queue is not None and not QUEUE_NAME.fullmatch(asked.queue):
        raise InvalidJob(f"must match {QUEUE_NAME.pattern}", "/queue")
    return answer(gopher().timeline(asked.window, asked.queue))

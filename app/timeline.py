"""/api/v1/timeline: what happened over the last hour, day or month, as the points of plots."""

from flask import Blueprint, Response

from gopher.errors import InvalidJob
from gopher.names import QUEUE_NAME

from .answers import answer
from .context import gopher
from .requests import query

blueprint = Blueprint("timeline", __name__, url_prefix="/api/v1")


@blueprint.get("/timeline")
def timeline() -> Response:
    asked = query("window", "queue")
    queue = asked.get("queue")
    if queue is not None and not QUEUE_NAME.fullmatch(queue):
        raise InvalidJob(f"must match {QUEUE_NAME.pattern}", "/queue")
    return answer(gopher().timeline(asked.get("window", "1h"), queue))

"""/api/v1/queue/stats and /api/v1/queues: figures, and emptying a queue."""

from flask import Blueprint, Response

from gopher.client import PURGEABLE
from gopher.errors import InvalidJob
from gopher.logs import get_logger
from gopher.names import QUEUE_NAME

from .answers import answer
from .context import gopher
from .requests import query

blueprint = Blueprint("queues", __name__, url_prefix="/api/v1")
_log = get_logger("api")


@blueprint.get("/queue/stats")
def stats() -> Response:
    query()
    return answer(gopher().stats())


@blueprint.delete("/queues/<queue>")
def purge(queue: str) -> Response:
    state = query("state").get("state")
    if state is None:
        raise InvalidJob(f"is required: one of {', '.join(PURGEABLE)}", "/state")
    if not QUEUE_NAME.fullmatch(queue):
        raise InvalidJob(f"must match {QUEUE_NAME.pattern}", "/queue")
    count = gopher().purge(queue, state)
    _log.warning("purged", queue=queue, state=state, count=count)
    return answer({"count": count})

"""/api/v1/queue/stats and /api/v1/queues: figures, and emptying a queue."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response

from gopher.base.states import PURGEABLE
from gopher.jobs.fields import Checked, QueueName, one_of
from gopher.jobs.models import Stats

from . import audit
from .answers import Count, answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("queues", __name__, url_prefix="/api/v1")


class Purge(Checked):
    """Which jobs of a queue to delete."""

    state: Annotated[str, msgspec.Meta(extra_json_schema=one_of(PURGEABLE))]


@blueprint.get("/queue/stats")
@operation("read", {200: Stats})
def stats() -> Response:
    """Show the figures of every queue."""
    return answer(gopher().stats())


@blueprint.delete("/queues/<queue>")
@operation("admin", {200: Count})
def purge(queue: QueueName, asked: Purge) -> Response:
    """Delete all jobs of a queue that wait in one state."""
    count = gopher().purge(queue, asked.state)
    audit.note(count=count)
    return answer(Count(count))

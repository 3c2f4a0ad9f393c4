"""/api/v1/workers: who runs the jobs."""

from flask import Blueprint, Response

from .answers import answer
from .context import gopher
from .requests import query

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1/workers")


@blueprint.get("")
def workers() -> Response:
    query()
    return answer({"workers": gopher().workers()})

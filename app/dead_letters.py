"""/api/v1/dlq: jobs that were given up."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response

from gopher.decoding import explain
from gopher.job import State
from gopher.logs import get_logger
from gopher.submission import InvalidJson

from .answers import answer
from .context import gopher
from .requests import body, query, whole_number

blueprint = Blueprint("dead_letters", __name__, url_prefix="/api/v1/dlq")
_log = get_logger("api")


class RetryAll(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters to retry: those that fit all that is said, the oldest first."""

    type: str | None = None
    error: str | None = None
    queue: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


_RETRY_ALL = msgspec.json.Decoder(RetryAll)


@blueprint.get("")
def page() -> Response:
    asked = query("type", "error", "limit", "cursor")
    return answer(
        gopher().dead_letters.page(
            job_type=asked.get("type"),
            error=asked.get("error"),
            limit=whole_number(asked.get("limit", "50"), "limit"),
            cursor=asked.get("cursor"),
        )
    )


@blueprint.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    query()
    gopher().dead_letters.retry(job_id)
    return answer({"job_id": job_id, "status": State.PENDING})


@blueprint.post("/retry-all")
def retry_all() -> Response:
    query()
    which = _read(body() or b"{}")
    count = gopher().dead_letters.retry_all(which.type, which.error, which.limit, which.queue)
    _log.warning("dead letters retried", type=which.type, error=which.error, queue=which.queue, count=count)
    return answer({"count": count})


@blueprint.delete("/<job_id>")
def discard(job_id: str) -> Response:
    query()
    gopher().dead_letters.discard(job_id)
    return answer({"count": 1})


@blueprint.delete("")
def discard_all() -> Response:
    asked = query("type", "error", "queue")
    count = gopher().dead_letters.discard_all(asked.get("type"), asked.get("error"), None, asked.get("queue"))
    _log.warning("dead letters deleted", count=count, **asked)
    return answer({"count": count})


def _read(text: bytes) -> RetryAll:
    try:
        return _RETRY_ALL.decode(text)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None

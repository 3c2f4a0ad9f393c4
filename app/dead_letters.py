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
    """Which dead letters to retry: those that fit all that is said, the oldest first.

    With a `canary` or a `rate` they are retried by and by: so many first, the rest once those have completed, at `5/s`.
    """

    type: str | None = None
    error: str | None = None
    group: str | None = None
    queue: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    canary: Annotated[int, msgspec.Meta(ge=1)] | None = None
    rate: str | None = None


_RETRY_ALL = msgspec.json.Decoder(RetryAll)


@blueprint.get("")
def page() -> Response:
    asked = query("type", "error", "group", "queue", "limit", "cursor")
    return answer(
        gopher().dead_letters.page(
            job_type=asked.get("type"),
            error=asked.get("error"),
            group=asked.get("group"),
            queue=asked.get("queue"),
            limit=whole_number(asked.get("limit", "50"), "limit"),
            cursor=asked.get("cursor"),
        )
    )


@blueprint.get("/groups")
def groups() -> Response:
    asked = query("queue", "limit")
    return answer(gopher().dead_letters.groups(asked.get("queue"), whole_number(asked.get("limit", "100"), "limit")))


@blueprint.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    query()
    gopher().dead_letters.retry(job_id)
    return answer({"job_id": job_id, "status": State.PENDING})


@blueprint.post("/retry-all")
def retry_all() -> Response:
    query()
    which = _read(body() or b"{}")
    asked = (which.type, which.error, which.limit, which.queue, which.group)
    if which.canary is None and which.rate is None:
        count = gopher().dead_letters.retry_all(*asked)
        _log.warning("dead letters retried", **msgspec.structs.asdict(which), count=count)
        return answer({"count": count})
    started = gopher().dead_letters.retry_gradually(*asked, canary=which.canary or 0, rate=which.rate)
    _log.warning("dead letters are retried", **msgspec.structs.asdict(which), **started._asdict())
    if not started.retry_id:
        return answer({"count": 0})
    return answer({"count": started.total, "retry_id": started.retry_id}, 202)


@blueprint.get("/retries")
def retries() -> Response:
    query()
    return answer({"retries": gopher().dead_letters.retries()})


@blueprint.post("/retries/<retry_id>/stop")
def stop_retry(retry_id: str) -> Response:
    query()
    stopped = gopher().dead_letters.stop_retry(retry_id)
    _log.warning("retry of dead letters stopped", retry_id=retry_id, stopped=stopped)
    return answer({"retry_id": retry_id, "stopped": stopped})


@blueprint.delete("/<job_id>")
def discard(job_id: str) -> Response:
    query()
    gopher().dead_letters.discard(job_id)
    return answer({"count": 1})


@blueprint.delete("")
def discard_all() -> Response:
    asked = query("type", "error", "group", "queue")
    count = gopher().dead_letters.discard_all(
        asked.get("type"), asked.get("error"), None, asked.get("queue"), asked.get("group")
    )
    _log.warning("dead letters deleted", count=count, **asked)
    return answer({"count": count})


def _read(text: bytes) -> RetryAll:
    try:
        return _RETRY_ALL.decode(text)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None

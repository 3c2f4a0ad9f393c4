"""/api/v1/limits, /queues/<q>/pause, /types/<t>/pause: how fast jobs may start, and whether at all."""

import msgspec
from flask import Blueprint, Response

from gopher.decoding import explain
from gopher.limits import Limit, format_rate
from gopher.logs import get_logger
from gopher.submission import InvalidJson

from .answers import answer
from .context import gopher
from .requests import body, query

blueprint = Blueprint("flow", __name__, url_prefix="/api/v1")
_log = get_logger("api")


class LimitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A limit as it is asked for: `{"rate": "10/s", "burst": 20, "concurrency": 4}`, each of them optional."""

    rate: str | None = None
    burst: float | None = None
    concurrency: int | None = None


@blueprint.get("/limits")
def limits() -> Response:
    query()
    return answer({"limits": gopher().flow.limits()})


@blueprint.put("/limits/<job_type>")
def set_limit(job_type: str) -> Response:
    query()
    asked = _decode(body())
    limit = gopher().flow.set_limit(job_type, asked.rate, asked.burst, asked.concurrency)
    _log.warning("limit set", job_type=job_type, rate=asked.rate, burst=limit.burst, concurrency=limit.concurrency)
    return answer(_shown(job_type, limit))


@blueprint.delete("/limits/<job_type>")
def clear_limit(job_type: str) -> Response:
    query()
    was_limited = gopher().flow.clear_limit(job_type)
    _log.warning("limit cleared", job_type=job_type)
    return answer({"type": job_type, "cleared": was_limited})


@blueprint.post("/queues/<queue>/pause")
def pause_queue(queue: str) -> Response:
    query()
    changed = gopher().flow.pause_queue(queue)
    _log.warning("queue paused", queue=queue)
    return answer({"queue": queue, "paused": True, "changed": changed})


@blueprint.post("/queues/<queue>/resume")
def resume_queue(queue: str) -> Response:
    query()
    changed = gopher().flow.resume_queue(queue)
    _log.warning("queue resumed", queue=queue)
    return answer({"queue": queue, "paused": False, "changed": changed})


@blueprint.post("/types/<job_type>/pause")
def pause_type(job_type: str) -> Response:
    query()
    changed = gopher().flow.pause_type(job_type)
    _log.warning("type paused", job_type=job_type)
    return answer({"type": job_type, "paused": True, "changed": changed})


@blueprint.post("/types/<job_type>/resume")
def resume_type(job_type: str) -> Response:
    query()
    changed = gopher().flow.resume_type(job_type)
    _log.warning("type resumed", job_type=job_type)
    return answer({"type": job_type, "paused": False, "changed": changed})


def _decode(data: bytes) -> LimitRequest:
    try:
        return msgspec.json.decode(data, type=LimitRequest)
    except msgspec.ValidationError as error:
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from None


def _shown(job_type: str, limit: Limit) -> dict[str, object]:
    rate = None if limit.rate is None else format_rate(limit.rate)
    return {"type": job_type, "rate": rate, "burst": limit.burst, "concurrency": limit.concurrency}

"""What goes wrong, as a page: the API has said what it is, this only dresses it."""

import msgspec
from flask import Response, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException, NotFound

from .frame import bare_page, blueprint, is_refresh


class Problem(msgspec.Struct):
    """An answer of the API that tells of an error."""

    error: str
    code: str
    details: str
    request_id: str
    field: str = ""


_PROBLEM = msgspec.json.Decoder(Problem)
#: What to do about it.
_REMEDIES = {
    "queue_unavailable": "This page tries again by itself.",
    "not_found": "Records of finished jobs are kept for a while only: GOPHER_RESULT_TTL, or what the job asked for.",
}


@blueprint.get("/<path:rest>")
def nowhere(rest: str) -> Response:
    raise NotFound


@blueprint.after_request
def _dress(answer: Response) -> Response:
    """Turn the API's JSON of an error into a page. What a script asked for stays as it is."""
    if answer.status_code < 400 or answer.mimetype != "application/json" or is_refresh():
        return answer
    problem = _PROBLEM.decode(answer.get_data())
    dressed = bare_page(
        "problem.html", answer.status_code, problem=problem, remedy=_REMEDIES.get(problem.code, ""), back=_back()
    )
    answer.set_data(dressed.get_data())
    answer.mimetype = "text/html"
    if answer.status_code == 503 and request.method == "GET":
        answer.headers["Refresh"] = "5"
    return answer


def _back() -> str | None:
    try:
        return request.form.get("next") if request.method == "POST" else None
    except (HTTPException, ParseException, OSError):
        # A form that can't be read: that is what the page tells of.
        return None

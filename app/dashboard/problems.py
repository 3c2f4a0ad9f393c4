"""Renders the API's errors as pages."""

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException, NotFound

from .frame import bare_page, blueprint, is_refresh


class Problem(msgspec.Struct):
    """An error response of the API."""

    error: str
    code: str
    details: str
    request_id: str
    field: str = ""


_PROBLEM = msgspec.json.Decoder(Problem)
#: Advice by error code.
_REMEDIES = {
    "queue_unavailable": "This page reloads automatically.",
    "precondition_failed": "Go back, reload the page, and try again if your change still applies.",
}
_GONE = "Finished jobs are deleted after their retention period: GOPHER_RESULT_TTL, or the job's own."


@blueprint.get("/<path:rest>")
def nowhere(rest: str) -> Response:
    raise NotFound


@blueprint.after_request
def _dress(answer: Response) -> Response:
    """Render an error response as a page. Responses to scripts stay JSON."""
    if answer.status_code < 400 or answer.mimetype != "application/json" or is_refresh():
        return answer
    problem = _PROBLEM.decode(answer.get_data())
    dressed = bare_page("problem.html", answer.status_code, problem=problem, remedy=_remedy(problem.code), back=_back())
    answer.set_data(dressed.get_data())
    answer.mimetype = "text/html"
    if answer.status_code == 503 and request.method == "GET":
        answer.headers["Refresh"] = "5"
    return answer


def _remedy(code: str) -> str:
    is_of_job = "job_id" in (request.view_args or {})
    return _GONE if code == "not_found" and is_of_job else _REMEDIES.get(code, "")


def _back() -> str | None:
    try:
        return request.form.get("next") if request.method == "POST" else None
    except (HTTPException, OSError):
        # A form that can't be parsed is the error that the page shows.
        return None

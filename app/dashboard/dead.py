"""/dashboard/dead: dead letters by what they died of; retry or discard a group of them, by and by if need be."""

from collections.abc import Iterable

from flask import Response, request
from gopher.app import dead_letters as api_dead_letters
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.base.states import DEAD
from gopher.errors import InvalidJob
from gopher.jobs.models import GroupView, JobView

from .acts import act, filled
from .formats import counted
from .frame import address, blueprint, done, filters, page

#: Rows of a page, and groups of one.
ROWS, GROUPS = 50, 30
#: Retries that are over are shown so long as they are among the last few.
_RETRIES = 5


@blueprint.get("/dead")
def dead() -> Response:
    asked = dict(filters("group", "type", "error", "queue", "cursor"))
    letters = gopher().dead_letters
    groups = letters.groups(limit=GROUPS)
    which = {"job_type": asked.get("type"), **{name: asked.get(name) for name in ("error", "group", "queue")}}
    found = letters.page(**which, limit=ROWS, cursor=asked.get("cursor"))
    return page(
        "dead.html",
        polls="cursor" not in asked,
        groups=groups,
        last=_last_of(groups.groups),
        chosen=next((each for each in groups.groups if each.group == asked.get("group")), None),
        asked=asked,
        letters=found,
        retries=letters.retries()[:_RETRIES],
        older=address(asked, found.next_cursor) if found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
    )


@blueprint.post("/dead/retry")
def retry_dead() -> BaseResponse:
    """Retry a group, or all: `canary` of them first, at `rate`."""
    which = filled(api_dead_letters.RetryAll)
    _check_which(which.group)
    count = act(api_dead_letters.retry_all, sent=which)["count"]
    if which.canary is None and which.rate is None:
        return done(f"Another chance for {counted(count, 'dead letter')}.")
    return done(f"Retried by and by: {counted(count, 'dead letter')}.")


@blueprint.post("/dead/discard")
def discard_dead() -> BaseResponse:
    which = filled(api_dead_letters.DiscardAll)
    _check_which(which.group)
    count = act(api_dead_letters.discard_all, asked=which)["count"]
    return done(f"Deleted: {counted(count, 'dead letter')}.")


@blueprint.post("/dead/retries/<retry_id>/stop")
def stop_retry(retry_id: str) -> BaseResponse:
    act(api_dead_letters.stop_retry, retry_id=retry_id)
    return done("No more of them are retried.")


def _check_which(group: str | None) -> None:
    """Raise InvalidJob when a form means neither a group nor, in so many words, all dead letters."""
    if group is None and request.form.get("which") != "all":
        raise InvalidJob("is required: a group, or which=all", "/group")


def _last_of(groups: Iterable[GroupView]) -> dict[str, JobView]:
    """Return the last dead letter of each group, by its id: what it says stands for the others."""
    places = [(queue, group.last_job_id) for group in groups for queue in group.queues]
    return {view.job_id: view for view in gopher().inspector.views(places) if view.status in DEAD}

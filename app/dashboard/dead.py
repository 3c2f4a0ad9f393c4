"""/dashboard/dead: dead letters grouped by failure; redrive or discard a group, gradually if need be."""

from collections.abc import Iterable

import msgspec
from flask import Response, request
from gopher.app import dead_letters as api_dead_letters
from gopher.app.context import gopher
from gopher.app.operations import read_texts
from werkzeug.wrappers import Response as BaseResponse

from gopher.base.states import DEAD
from gopher.errors import InvalidJob
from gopher.jobs.filters import DeadListing, DeadSelection, RetryAll
from gopher.jobs.models import GroupView, JobView

from .acts import act, filled
from .formats import counted
from .frame import address, blueprint, done, filters, page

#: Rows and groups per page.
ROWS, GROUPS = 50, 30
#: Redrives that are over are shown so long as they are among the last few.
_REDRIVES = 5


@blueprint.get("/dead")
def dead() -> Response:
    asked = dict(filters(*(name for name in DeadListing.__struct_encode_fields__ if name != "limit")))
    letters = gopher().dead_letters
    which = read_texts(DeadListing, {**asked, "limit": str(ROWS)})
    groups = letters.groups(limit=GROUPS, tenant=which.tenant)
    found = letters.page(**msgspec.structs.asdict(which))
    return page(
        "dead.html",
        polls="cursor" not in asked,
        groups=groups,
        last=_last_of(groups.groups),
        chosen=next((each for each in groups.groups if each.group == asked.get("group")), None),
        asked=asked,
        tenant=which.tenant,
        of_tenant={} if which.tenant is None else {"tenant": which.tenant},
        letters=found,
        redrives=letters.redrives()[:_REDRIVES],
        older=address(asked, found.next_cursor) if found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
    )


@blueprint.post("/dead/retry")
def retry_dead() -> BaseResponse:
    """Redrive a group, or all: `canary` of them first, at `rate`."""
    which = filled(RetryAll)
    _check_which(which.group)
    count = act(api_dead_letters.retry_all, sent=which)["count"]
    if which.canary is None and which.rate is None:
        return done(f"Retried {counted(count, 'dead letter')}.")
    return done(f"Started a gradual redrive of {counted(count, 'dead letter')}.")


@blueprint.post("/dead/discard")
def discard_dead() -> BaseResponse:
    which = filled(DeadSelection)
    _check_which(which.group)
    count = act(api_dead_letters.discard_all, asked=which)["count"]
    return done(f"Deleted {counted(count, 'dead letter')}.")


@blueprint.post("/dead/redrives/<redrive_id>/stop")
def stop_redrive(redrive_id: str) -> BaseResponse:
    act(api_dead_letters.stop_redrive, redrive_id=redrive_id)
    return done("Redrive stopped.")


def _check_which(group: str | None) -> None:
    """Raise InvalidJob unless the form names a group or explicitly all dead letters."""
    if group is None and request.form.get("which") != "all":
        raise InvalidJob("is required: a group, or which=all", "/group")


def _last_of(groups: Iterable[GroupView]) -> dict[str, JobView]:
    """Return the latest dead letter of each group, by its id, as an example of the group."""
    places = [(queue, group.last_job_id) for group in groups for queue in group.queues]
    return {view.job_id: view for view in gopher().inspector.views(places) if view.status in DEAD}

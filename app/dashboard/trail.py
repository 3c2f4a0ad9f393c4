"""/dashboard/audit: the audit trail, for visitors who may do everything."""

from flask import Response
from gopher.app.context import gopher
from gopher.app.operations import read_texts

from gopher.jobs.lists import RESULTS, AuditFilter

from .frame import address, blueprint, filters, page, require_admin

#: Rows per page.
ROWS = 50


@blueprint.get("/audit")
def audit() -> Response:
    require_admin()
    asked = dict(filters("who", "action", "result", "cursor"))
    which = read_texts(AuditFilter, {**asked, "limit": str(ROWS)})
    found = gopher().audit(which.who, which.action, which.result, which.limit, which.cursor)
    return page(
        "audit.html",
        polls="cursor" not in asked,
        entries=found.entries,
        asked=asked,
        results=RESULTS,
        older=address(asked, found.next_cursor) if found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
    )

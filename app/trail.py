"""/api/v1/audit: the audit trail, page by page or as JSON lines."""

import itertools

import msgspec
from flask import Blueprint, Response, request

from gopher.interface import Gopher
from gopher.interface.pages import audit_pages
from gopher.jobs.audit import AuditPage
from gopher.jobs.lists import MAX_LIMIT, AuditFilter

from .answers import answer
from .context import gopher
from .lines import TYPES
from .serving import serves

blueprint = Blueprint("trail", __name__)


@serves(blueprint, Gopher.audit, query=AuditFilter, answers={200: (AuditPage, TYPES[0])})
def audit(asked: AuditFilter) -> Response:
    """List what operators have done, and attempts that were refused, newest first.

    With `Accept: application/x-ndjson`, all entries that match, one per line.
    """
    if request.accept_mimetypes.best_match(["application/json", *TYPES]) not in TYPES:
        return answer(gopher().audit(**msgspec.structs.asdict(asked)))
    pages = audit_pages(gopher(), msgspec.structs.replace(asked, limit=MAX_LIMIT))
    # The first one now, so that an unavailable server is an answer of its own.
    first = next(pages)
    return Response(map(_lines, itertools.chain([first], pages)), mimetype=TYPES[0])


def _lines(page: AuditPage) -> bytes:
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in page.entries)

"""Reads all pages of a list."""

from collections.abc import Iterator

import msgspec

from gopher.jobs.audit import AuditPage
from gopher.jobs.lists import AuditFilter

from .complete import Gopher


def audit_pages(gopher: Gopher, asked: AuditFilter) -> Iterator[AuditPage]:
    """Yield the pages of the audit trail from `asked.cursor` on, of `asked.limit` entries each."""
    while True:
        page = gopher.audit(**msgspec.structs.asdict(asked))
        yield page
        if page.next_cursor is None:
            return
        asked = msgspec.structs.replace(asked, cursor=page.next_cursor)

"""`audit`: what operators have done, and attempts that were refused."""

from typing import Any

import click
import msgspec

from gopher.base.printable import printable_json
from gopher.interface.pages import audit_pages
from gopher.jobs.audit import AuditEntry
from gopher.jobs.lists import MAX_LIMIT, AuditFilter

from .common import ROWS, client, common
from .derived import options
from .output import Output, when


@click.command()
@options(AuditFilter, limit=ROWS)
@click.option("--jsonl", is_flag=True, help="Print all entries from the cursor on as JSON, one per line.")
@common
def audit(out: Output, jsonl: bool, limit: int, cursor: str | None, **filters: Any) -> None:
    """Show the audit trail, newest first: who did what, and attempts that were refused."""
    with client() as gopher:
        if jsonl:
            for each in audit_pages(gopher, AuditFilter(limit=MAX_LIMIT, cursor=cursor, **filters)):
                for entry in each.entries:
                    click.echo(printable_json(msgspec.json.encode(entry).decode()))
            return
        page = gopher.audit(limit=limit, cursor=cursor, **filters)
    if out.data(page):
        return
    columns = ("time (UTC)", "who", "through", "address", "action", "result", "count", "on")
    rows = [
        (
            when(entry.time), entry.who, entry.through, entry.address, entry.action, entry.result, entry.count,
            object_of(entry),
        )
        for entry in page.entries
    ]  # fmt: skip
    out.table(columns, rows, empty="no matching entries" if any(filters.values()) else "no entries")
    out.corrupt((entry.id, entry.corrupt) for entry in page.entries)
    if page.next_cursor:
        out.note(f"next page: --cursor {page.next_cursor}")


def object_of(entry: AuditEntry) -> str:
    """Return what was changed, and details, as one line."""
    return ", ".join([*(f"{name} {value}" for name, value in entry.on.items()), *filter(None, [entry.details])])

"""The audit trail: who did what, on what, and how it ended; and attempts that were refused."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .fields import Time
from .lists import DONE, RESULTS
from .models import Corrupt, Cursor

#: Where a call came from. `job`: a handler made it, `client`: a program that uses the server itself, `scheduler`:
#: a scheduler, which withdraws what no process declares any more.
WAYS = ("api", "dashboard", "cli", "client", "job", "scheduler")

#: The field of a stream's entry that has the event, as JSON.
EVENT = "event"

_On = Annotated[
    dict[str, Any],
    Meta(
        description="The call's arguments, without payloads and metadata.",
        examples=[{"queue": "mail", "state": "pending"}],
        extra_json_schema={"type": "object"},
    ),
]


class AuditEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What happened, as it is stored."""

    who: Annotated[str, Meta(description="Name of the API key, or of the system's user.", examples=["ops"])]
    through: Annotated[str, Meta(description=f"One of {', '.join(WAYS)}.", examples=["api"])]
    action: Annotated[str, Meta(examples=["queues.purge"])]
    result: Annotated[str, Meta(description=f"One of {', '.join(RESULTS)}.", examples=["done"])] = DONE
    on: _On = {}
    count: Annotated[int, Meta(description="How many jobs, or attempts.")] | None = None
    details: Annotated[str, Meta(description="Such as the id of a new job.", examples=["created"])] = ""
    address: Annotated[str, Meta(description="Client's address, or name of the host.", examples=["10.0.0.7"])] = ""
    request_id: Annotated[str, Meta(description="Id of the request, or of the job whose handler made the call.")] = ""


class AuditEntry(AuditEvent, kw_only=True, omit_defaults=True):
    """An entry of the audit trail."""

    id: Annotated[str, Meta(examples=["1764230400000-0"])]
    time: Time
    result: Annotated[str, Meta(description=f"One of {', '.join(RESULTS)}.", examples=["done"])]
    corrupt: Corrupt = []


class AuditPage(msgspec.Struct):
    """Entries of the audit trail, newest first; `next_cursor` is None on the last page."""

    entries: list[AuditEntry]
    next_cursor: Cursor | None

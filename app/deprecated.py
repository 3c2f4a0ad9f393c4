"""Renamed routes, served for one release with headers that have the new URL."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from flask import Flask, Response

from gopher.jobs.models import RedriveView

from .answers import answer
from .context import gopher
from .operations import operation

#: When they were renamed.
_SINCE = datetime(2026, 11, 29, tzinfo=UTC)
_REDRIVES = "/api/v1/dlq/redrives"
#: Fields that were renamed.
_OLD = {"redrive_id": "retry_id"}

_field: Any = msgspec.field
RetryView: Any = msgspec.defstruct(
    "RetryView",
    [
        (
            _OLD.get(each.name, each.name),
            each.type,
            _field(default=each.default, default_factory=each.default_factory),
        )
        for each in msgspec.structs.fields(RedriveView)
    ],
    omit_defaults=True,
)


class Retries(msgspec.Struct):
    """Gradual redrives, under their old name."""

    retries: list[RetryView]


class RetryStopped(msgspec.Struct):
    """A redrive that is stopped; `stopped` is false if it had already ended."""

    retry_id: str
    stopped: bool


@operation("read", {200: Retries}, is_deprecated=True)
def retries() -> Response:
    """Deprecated: use /api/v1/dlq/redrives."""
    rows = [
        RetryView(**{_OLD.get(name, name): value for name, value in msgspec.structs.asdict(view).items()})
        for view in gopher().dead_letters.redrives()
    ]
    return answer(Retries(rows), headers=_moved(_REDRIVES))


@operation("admin", {200: RetryStopped}, "not_found", is_deprecated=True, action="dead_letters.stop_redrive")
def stop_retry(retry_id: str) -> Response:
    """Deprecated: use /api/v1/dlq/redrives/<redrive_id>/stop."""
    stopped = gopher().dead_letters.stop_redrive(retry_id)
    return answer(RetryStopped(retry_id, stopped), headers=_moved(f"{_REDRIVES}/{retry_id}/stop"))


def install(app: Flask) -> None:
    """Serve them under the names that they have had in the document."""
    app.add_url_rule("/api/v1/dlq/retries", "dead_letters.retries", retries)
    app.add_url_rule("/api/v1/dlq/retries/<retry_id>/stop", "dead_letters.stop_retry", stop_retry, methods=["POST"])


def _moved(place: str) -> dict[str, str]:
    """Return the headers of a deprecated route (RFC 9745)."""
    return {"Deprecation": f"@{_SINCE.timestamp():.0f}", "Link": f'<{place}>; rel="successor-version"'}

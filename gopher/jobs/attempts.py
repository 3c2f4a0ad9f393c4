"""The models of attempts: how each ended, and what it has used."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .fields import Time

_ERROR = {
    "type": "object",
    "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
    "required": ["type", "message"],
}
_FAILED = {"type": "ValueError", "message": "no such picture", "traceback": "Traceback...", "permanent": False}
Error = Annotated[
    msgspec.Raw, Meta(description="Error of the last attempt.", examples=[_FAILED], extra_json_schema=_ERROR)
]
PastError = Annotated[dict[str, Any], Meta(examples=[_FAILED], extra_json_schema=_ERROR)]
Outcome = Annotated[
    str,
    Meta(description="completed, failed, crashed, timeout, lost, released, running...", examples=["completed"]),
]


class HistoryRow(msgspec.Struct):
    """An attempt: completed, failed, crashed, timeout, lost (its worker died), released or running.

    `duration` and CPU times are in seconds, `peak_memory` is in bytes: the most that its child had resident meanwhile.
    They are None where they are not known, as for an attempt whose child died; CPU times also for those shorter than
    5 ms, memory for those shorter than 50 ms.

    `frozen` is for how many seconds it was frozen, which `duration` does not include, and `frozen_since` since when it
    is; both are omitted otherwise.
    """

    attempt: int
    outcome: Outcome
    worker: str | None
    started_at: Time | None
    ended_at: Time | None
    error: PastError | None
    duration: float | None = None
    cpu_user: float | None = None
    cpu_system: float | None = None
    peak_memory: int | None = None
    frozen: float | UnsetType = UNSET
    frozen_since: Time | UnsetType = UNSET

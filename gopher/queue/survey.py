"""What one cheap look at a queue tells (survey.lua), and what is left of one that is forgotten (forget.lua)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from gopher.base.salvage import order, text

from .keys import QueueKeys

#: What the fields of a type's histogram begin with among the counters of forgotten queues.
_HISTOGRAM = QueueKeys.histogram.head


class Survey(NamedTuple):
    """What a queue holds; times in the server's ms."""

    now: int
    #: Whether a worker serves it, and whether jobs of a lost one may have to go back.
    served: bool
    fenced: bool
    #: Whether jobs wait there for a worker, or for their time.
    waits: bool
    #: Whether it holds anything that it has to be known for.
    holds: bool
    #: Whether it holds jobs that have ended.
    ended: bool
    limited: bool
    #: None when nothing waits for a time.
    next_due: int | None
    #: Grows with whatever happens to jobs.
    counted: int


def read_survey(reply: list[Any]) -> Survey:
    now, served, fenced, waits, holds, ended, limited, due, counted = reply
    return Survey(
        now=int(now),
        served=bool(served),
        fenced=bool(fenced),
        waits=bool(waits),
        holds=bool(holds),
        ended=bool(ended),
        limited=bool(limited),
        next_due=int(due) if due != b"" else None,
        counted=int(counted),
    )


def read_forgotten(reply: list[bytes]) -> dict[str, int] | None:
    """Return what a queue had counted by field, None when it is not to be forgotten: it holds something."""
    if reply[0] == b"BUSY":
        return None
    return {text(field): order(count) for field, count in zip(reply[1::2], reply[2::2], strict=True)}


def totals_of(counted: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return what forgotten queues have counted, without the histograms: as `totals` of a queue has it."""
    return {field: count for field, count in counted.items() if not field.startswith(_HISTOGRAM.encode())}


def histograms_of(counted: dict[bytes, bytes], job_types: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the latency buckets of job types in forgotten queues: `{"email": {"run:3": 12, "run:sum_us": 9000}}`."""
    found: dict[str, dict[str, int]] = {name: {} for name in job_types}
    for field, count in counted.items():
        name, _, rest = text(field).removeprefix(_HISTOGRAM).partition(":")
        if field.startswith(_HISTOGRAM.encode()) and name in found:
            found[name][rest] = order(count)
    return found

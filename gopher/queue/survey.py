"""A cheap summary of a queue (survey.lua), and the counters of a removed one (forget.lua)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from gopher.base.salvage import order, text

from .keys import QueueKeys

#: Prefixes of the histogram fields among the counters of removed queues: as earlier versions count, and this one.
EARLIER, CURRENT = QueueKeys.histogram.head, QueueKeys.latencies.head


class Survey(NamedTuple):
    """The contents of a queue; times in the server's ms."""

    now: int
    #: Whether a worker serves it, and whether jobs of a lost one may have to be requeued.
    served: bool
    fenced: bool
    #: Whether jobs are waiting for a worker, or are scheduled.
    waits: bool
    #: Whether it contains anything that prevents its removal.
    holds: bool
    #: Whether it has finished jobs.
    ended: bool
    limited: bool
    #: None if nothing is scheduled.
    next_due: int | None
    #: Increases with every change of a job.
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
    """Return the counters of a removed queue by field, None if it was not removed because it is not empty."""
    if reply[0] == b"BUSY":
        return None
    return {text(field): order(count) for field, count in zip(reply[1::2], reply[2::2], strict=True)}


def totals_of(counted: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the counters of removed queues without histograms, in the format of a queue's `totals`."""
    heads = (EARLIER.encode(), CURRENT.encode())
    return {field: count for field, count in counted.items() if not field.startswith(heads)}


def histograms_of(counted: dict[bytes, bytes], job_types: Iterable[str], head: str) -> dict[str, dict[str, int]]:
    """Return the buckets of job types in removed queues: `{"email": {"run:3": 12, "run:sum_us": 9000}}`."""
    found: dict[str, dict[str, int]] = {name: {} for name in job_types}
    for field, count in counted.items():
        name, _, rest = text(field).removeprefix(head).partition(":")
        if field.startswith(head.encode()) and name in found:
            found[name][rest] = order(count)
    return found

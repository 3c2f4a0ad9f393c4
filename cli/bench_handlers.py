"""The jobs of `gopherctl bench`, run by its own worker in its own namespace."""

import time
from typing import Any

from gopher.jobs.handlers import handler
from gopher.jobs.job import Job


@handler("bench_noop")
def noop(job: Job, payload: dict[str, Any]) -> None:
    """Does nothing."""


@handler("bench_clock")
def clock(job: Job, payload: dict[str, Any]) -> int:
    """Returns its start time in nanoseconds since 1970."""
    return time.time_ns()

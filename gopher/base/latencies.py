"""Histograms of attempts, and their buckets. This is the only list of them.

Buckets are stored by number in the hash `latencies:<type>`, so counts from before a change of the bounds would be read
with the new ones: append a new bound at the end, or rename the hash with it.

Earlier versions count into `histogram:<type>`, with bounds from 1 ms on. Both are read, for one release.
"""

import math
from typing import NamedTuple


class Histogram(NamedTuple):
    """What is measured of each job type; its fields start with `name`. The unit of display is seconds or bytes."""

    name: str
    metric: str
    meaning: str


#: Of every attempt.
HISTOGRAMS = (
    Histogram("run", "gopher_job_processing_duration_seconds", "Duration of attempts."),
    Histogram("wait", "gopher_job_wait_duration_seconds", "Time that jobs waited for a worker."),
)
#: Of attempts that were not too short to be measured.
CPU = Histogram("cpu", "gopher_job_cpu_seconds", "CPU time of attempts that took 5 ms or longer.")
MEMORY = Histogram(
    "memory", "gopher_job_peak_memory_bytes", "Peak of resident memory during attempts that took 50 ms or longer."
)
_EARLIER_BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000)
_BELOW = (0.1, 0.25, 0.5)
#: Upper bounds of the buckets of times in ms; a last bucket has no bound.
BOUNDS = (*_BELOW, *_EARLIER_BOUNDS)
#: How many bounds earlier versions lack, all of them below their first one.
ADDED = len(_BELOW)
#: The bounds of memory are quarters of powers of two, from 1 MiB (number 0) up: four a doubling.
MEMORY_STEPS = 4
#: Number of the last bucket of memory that has a bound: 1 TiB.
MEMORY_BUCKETS = 20 * MEMORY_STEPS


def file_class(size: int) -> int:
    """Return the class of a job's files by their size in bytes: 0 without files, then two classes a doubling.

    Jobs of a type that have files are also counted by class: `memory/17:26`.
    """
    return 1 + max(round(2 * math.log2(size / 4096)), 0) if size else 0

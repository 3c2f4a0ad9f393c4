"""Latency histograms and their buckets. This is the only list of them.

Buckets are stored by number in the hash `histogram:<type>`, so counts from before a change of the bounds would be read
with the new ones: append a new bound at the end, or rename the histograms with it.
"""

from typing import NamedTuple


class Histogram(NamedTuple):
    """A latency that is measured for each job type; its fields start with `name`."""

    name: str
    metric: str
    meaning: str


HISTOGRAMS = (
    Histogram("run", "gopher_job_processing_duration_seconds", "Duration of attempts."),
    Histogram("wait", "gopher_job_wait_duration_seconds", "Time that jobs waited for a worker."),
)
#: Upper bounds of the buckets in ms; a last bucket has no bound.
BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000)

"""The latencies that are measured, and the buckets that they are counted into: the only place where they are listed.

Buckets are stored by their number in the hash `histogram:<type>`. So counts of before a change of the bounds belong to
other bounds than those of after it: put a new bound at the end, or give the fields other names with it.
"""

from typing import NamedTuple


class Histogram(NamedTuple):
    """What is measured of each job type; `name` is what its fields begin with."""

    name: str
    metric: str
    meaning: str


HISTOGRAMS = (
    Histogram("run", "gopher_job_processing_duration_seconds", "How long attempts ran."),
    Histogram("wait", "gopher_job_wait_duration_seconds", "How long jobs waited for a worker."),
)
#: Upper bounds of the buckets in ms; what took longer goes into one more bucket.
BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000)

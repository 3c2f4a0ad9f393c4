"""What is counted of jobs: the only place where the counters are listed.

A script counts an event into the hash `totals`, in the field `<name>`, or `<name>:<label>:<label>`. To add a counter is
to add a row here and to count it (see `gopher.queue.facts`): stats, `/metrics` and plots take what they show from here.
"""

from typing import NamedTuple


class Counter(NamedTuple):
    """An event that is counted."""

    name: str
    #: What follows the name in its field.
    labels: tuple[str, ...] = ()
    #: Its metric, "" for one that is not shown.
    metric: str = ""
    meaning: str = ""
    #: Whether it tells how attempts or jobs ended, as `stats` shows it.
    outcome: bool = False
    #: Whether it has a curve over time.
    timeline: bool = False
    #: Whether it counts jobs that are gone for good: with those that are still there, as many as were enqueued.
    leaves: bool = False

    @property
    def field(self) -> str:
        """What its field begins with."""
        return f"{self.name}:" if self.labels else self.name


_TYPE = ("job_type",)
_PRIORITY = ("job_type", "priority")
_ERROR = ("job_type", "error_type")

#: In the order in which they are shown.
COUNTERS = (
    Counter("enqueued", _PRIORITY, "gopher_jobs_enqueued", "Jobs accepted.", timeline=True),
    Counter("dequeued", _PRIORITY, "gopher_jobs_dequeued", "Attempts begun.", timeline=True),
    Counter(
        "completed", _TYPE, "gopher_jobs_processed", "Jobs that ended well.", outcome=True, timeline=True, leaves=True
    ),
    Counter(
        "failed",
        _ERROR,
        "gopher_jobs_failed",
        "Jobs given up, now in the dead letter queue.",
        outcome=True,
        timeline=True,
    ),
    Counter(
        "retried",
        _TYPE,
        "gopher_jobs_retried",
        "Attempts that failed and will be repeated.",
        outcome=True,
        timeline=True,
    ),
    Counter("cancelled", _TYPE, "gopher_jobs_cancelled", "Jobs cancelled.", outcome=True, timeline=True, leaves=True),
    Counter(
        "expired",
        _TYPE,
        "gopher_jobs_expired",
        "Jobs that were too late to start.",
        outcome=True,
        timeline=True,
        leaves=True,
    ),
    Counter("rescued", _TYPE, "gopher_jobs_rescued", "Jobs given back because their worker was lost."),
    Counter("reclaimed", _TYPE, "gopher_jobs_reclaimed", "Jobs given back because their worker did not hold them."),
    Counter("refused", _TYPE, "gopher_outcomes_refused", "Outcomes that the server never took."),
    Counter("evicted", (), "gopher_records_removed_early", "Records of finished jobs removed early to free memory."),
    Counter("stale", (), "gopher_stale_results", "Results dropped: the job had been given to another worker."),
    Counter("discarded", leaves=True),
    Counter("purged", leaves=True),
    Counter("pruned_dead", leaves=True),
    Counter("redriven"),
    Counter("skipped_overlap", ("schedule",)),
    # How many classes of errors have a count of their own among those of `failed`.
    Counter("kinds"),
)

#: How attempts and jobs ended.
OUTCOMES = tuple(counter.name for counter in COUNTERS if counter.outcome)
#: What has a curve over time.
TIMELINE = tuple(counter.name for counter in COUNTERS if counter.timeline)
#: How jobs leave for good.
LEAVING = tuple(counter.name for counter in COUNTERS if counter.leaves)
#: What is counted of each job type.
BY_TYPE = tuple(counter.name for counter in COUNTERS if counter.labels[:1] == _TYPE)

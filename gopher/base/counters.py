"""What is counted of jobs: the only place where the counters are listed.

A script counts an event into the hash `totals`, in the field `<name>`, or `<name>:<label>:<label>`. To add a counter is
to add a row here and to count it (see `gopher.queue.facts`): stats, `/metrics` and plots take what they show from here.
"""

from typing import NamedTuple

TYPE, PRIORITY, ERROR, SCHEDULE = "job_type", "priority", "error_type", "schedule"


class Line(NamedTuple):
    """How a counter is drawn: a colour as terminals call it."""

    colour: str
    dashed: bool = False


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
    #: Whether points of the timeline have it.
    timeline: bool = False
    #: Its line in plots of the throughput, None where it has none.
    line: Line | None = None
    #: Whether it counts jobs that are gone for good: with those that are still there, as many as were enqueued.
    leaves: bool = False

    @property
    def field(self) -> str:
        """What its field begins with."""
        return f"{self.name}:" if self.labels else self.name


#: In the order in which they are shown.
COUNTERS = (
    Counter(
        "enqueued",
        (TYPE, PRIORITY),
        "gopher_jobs_enqueued",
        "Jobs accepted.",
        timeline=True,
        line=Line("blue", dashed=True),
    ),
    Counter("dequeued", (TYPE, PRIORITY), "gopher_jobs_dequeued", "Attempts begun.", timeline=True),
    Counter(
        "completed",
        (TYPE,),
        "gopher_jobs_processed",
        "Jobs that ended well.",
        outcome=True,
        timeline=True,
        line=Line("green"),
        leaves=True,
    ),
    Counter(
        "failed",
        (TYPE, ERROR),
        "gopher_jobs_failed",
        "Jobs given up, now in the dead letter queue.",
        outcome=True,
        timeline=True,
        line=Line("red"),
    ),
    Counter(
        "retried",
        (TYPE,),
        "gopher_jobs_retried",
        "Attempts that failed and will be repeated.",
        outcome=True,
        timeline=True,
        line=Line("yellow", dashed=True),
    ),
    Counter("cancelled", (TYPE,), "gopher_jobs_cancelled", "Jobs cancelled.", outcome=True, timeline=True, leaves=True),
    Counter(
        "expired",
        (TYPE,),
        "gopher_jobs_expired",
        "Jobs that were too late to start.",
        outcome=True,
        timeline=True,
        leaves=True,
    ),
    Counter("rescued", (TYPE,), "gopher_jobs_rescued", "Jobs given back because their worker was lost."),
    Counter("reclaimed", (TYPE,), "gopher_jobs_reclaimed", "Jobs given back because their worker did not hold them."),
    Counter("refused", (TYPE,), "gopher_outcomes_refused", "Outcomes that the server never took."),
    Counter("evicted", (), "gopher_records_removed_early", "Records of finished jobs removed early to free memory."),
    Counter("stale", (), "gopher_stale_results", "Results dropped: the job had been given to another worker."),
    Counter("discarded", leaves=True),
    Counter("purged", leaves=True),
    Counter("pruned_dead", leaves=True),
    Counter("redriven"),
    Counter("skipped_overlap", (SCHEDULE,)),
    # How many classes of errors have a count of their own among those of `failed`.
    Counter("kinds"),
)

#: How attempts and jobs ended.
OUTCOMES = tuple(counter.name for counter in COUNTERS if counter.outcome)
#: What points of the timeline have.
TIMELINE = tuple(counter.name for counter in COUNTERS if counter.timeline)
#: What is drawn of the throughput.
PLOTTED = {counter.name: counter.line for counter in COUNTERS if counter.line}
#: How jobs leave for good.
LEAVING = tuple(counter.name for counter in COUNTERS if counter.leaves)
#: What is counted of each job type.
BY_TYPE = tuple(counter.name for counter in COUNTERS if TYPE in counter.labels)
#: What is counted by the class of the error, too.
BY_ERROR = tuple(counter.name for counter in COUNTERS if ERROR in counter.labels)


_BY_NAME = {counter.name: counter for counter in COUNTERS}


def field_of(name: str, *labels: str) -> str:
    """Return the field that an event is counted into: `enqueued:email:high`."""
    return _BY_NAME[name].field + ":".join(labels)


def event_of(field: str) -> str:
    """Return the name of the counter that a field is of."""
    return field.partition(":")[0]

"""The counters of job events. This is the only list of them.

A script counts an event in the hash `totals`, in the field `<name>` or `<name>:<label>:<label>`. To add a counter, add
a row here and count it in a script (see `gopher.queue.facts`): stats, `/metrics` and plots follow from the row.
"""

from typing import NamedTuple

TYPE, PRIORITY, ERROR, SCHEDULE = "job_type", "priority", "error_type", "schedule"


class Line(NamedTuple):
    """How a counter is plotted; the colour is a terminal's name for it."""

    colour: str
    dashed: bool = False


class Counter(NamedTuple):
    """A counter of one kind of event."""

    name: str
    #: The labels that follow the name in its field.
    labels: tuple[str, ...] = ()
    #: Its Prometheus metric, "" if it has none.
    metric: str = ""
    meaning: str = ""
    #: Whether it counts outcomes of attempts or jobs, which `stats` shows.
    outcome: bool = False
    #: Whether it is a field of the timeline's points.
    timeline: bool = False
    #: Its line in throughput plots, None if it has none.
    line: Line | None = None
    #: Whether it counts jobs that left permanently: these and the jobs still there add up to those enqueued.
    leaves: bool = False

    @property
    def field(self) -> str:
        """The beginning of its field."""
        return f"{self.name}:" if self.labels else self.name


#: In display order.
COUNTERS = (
    Counter(
        "enqueued",
        (TYPE, PRIORITY),
        "gopher_jobs_enqueued",
        "Jobs accepted.",
        timeline=True,
        line=Line("blue", dashed=True),
    ),
    Counter("dequeued", (TYPE, PRIORITY), "gopher_jobs_dequeued", "Attempts started.", timeline=True),
    Counter(
        "completed",
        (TYPE,),
        "gopher_jobs_processed",
        "Jobs completed.",
        outcome=True,
        timeline=True,
        line=Line("green"),
        leaves=True,
    ),
    Counter(
        "failed",
        (TYPE, ERROR),
        "gopher_jobs_failed",
        "Jobs that became dead letters.",
        outcome=True,
        timeline=True,
        line=Line("red"),
    ),
    Counter(
        "retried",
        (TYPE,),
        "gopher_jobs_retried",
        "Failed attempts that will be retried.",
        outcome=True,
        timeline=True,
        line=Line("yellow", dashed=True),
    ),
    Counter("cancelled", (TYPE,), "gopher_jobs_cancelled", "Jobs cancelled.", outcome=True, timeline=True, leaves=True),
    Counter(
        "expired",
        (TYPE,),
        "gopher_jobs_expired",
        "Jobs that expired before they started.",
        outcome=True,
        timeline=True,
        leaves=True,
    ),
    Counter("replaced", (TYPE,), "gopher_jobs_replaced", "Waiting jobs replaced by another with their unique key."),
    Counter("rescued", (TYPE,), "gopher_jobs_rescued", "Jobs requeued because their worker was lost."),
    Counter("reclaimed", (TYPE,), "gopher_jobs_reclaimed", "Jobs requeued because their worker never got them."),
    Counter("frozen", (TYPE,), "gopher_jobs_frozen", "How often jobs were frozen while others ran in their place."),
    Counter("refused", (TYPE,), "gopher_outcomes_refused", "Outcomes that the server rejected."),
    Counter("evicted", (), "gopher_records_removed_early", "Records of finished jobs evicted early to free memory."),
    Counter("stale", (), "gopher_stale_results", "Results discarded: the job was fetched again meanwhile."),
    Counter("discarded", leaves=True),
    Counter("purged", leaves=True),
    Counter("moved", leaves=True),
    Counter("pruned_dead", leaves=True),
    Counter("redriven"),
    Counter("skipped_overlap", (SCHEDULE,)),
    # The number of error classes with a `failed` counter of their own.
    Counter("kinds"),
)

#: Outcomes of attempts and jobs.
OUTCOMES = tuple(counter.name for counter in COUNTERS if counter.outcome)
#: Fields of the timeline's points.
TIMELINE = tuple(counter.name for counter in COUNTERS if counter.timeline)
#: Lines of throughput plots.
PLOTTED = {counter.name: counter.line for counter in COUNTERS if counter.line}
#: Ways in which jobs leave permanently.
LEAVING = tuple(counter.name for counter in COUNTERS if counter.leaves)
#: Counters by job type.
BY_TYPE = tuple(counter.name for counter in COUNTERS if TYPE in counter.labels)
#: Counters by error class.
BY_ERROR = tuple(counter.name for counter in COUNTERS if ERROR in counter.labels)


_BY_NAME = {counter.name: counter for counter in COUNTERS}


def field_of(name: str, *labels: str) -> str:
    """Return the field of a counter with labels: `enqueued:email:high`."""
    return _BY_NAME[name].field + ":".join(labels)


def event_of(field: str) -> str:
    """Return the name of the counter that a field belongs to."""
    return field.partition(":")[0]

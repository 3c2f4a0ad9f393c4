"""`doctor`'s check of timeouts: job types that mostly end by theirs."""

from collections import Counter

from gopher.base.counters import event_of
from gopher.client import Client
from gopher.jobs.filters import MAX_GROUPS
from gopher.reads.groups import Groups
from gopher.reads.stats import counters
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .checks import Check, Finding

#: The error class of attempts that ran for too long.
_ERROR = "Timeout"
#: From this share of a type's ended jobs on, its timeout is probably too short.
_MOSTLY = 0.5


def timeout_check(gopher: Client) -> Check:
    """Find types of which most ended jobs are dead letters because of their timeout.

    Only types that still have such dead letters: once they are retried or discarded, the finding is gone.
    """
    dead = {view.type for view in Groups(gopher.server).page(limit=MAX_GROUPS).groups if view.error == _ERROR}
    ended, timed_out = _counts(gopher) if dead else (Counter[str](), Counter[str]())
    findings = [
        _finding(job_type, timed_out[job_type], ended[job_type])
        for job_type in sorted(dead)
        if timed_out[job_type] > _MOSTLY * ended[job_type]
    ]
    return Check("timeouts", f"{len(dead)} types with dead letters because of a timeout", findings)


def _counts(gopher: Client) -> tuple[Counter[str], Counter[str]]:
    """Return by type how many jobs have ended, and how many of them by their timeout."""
    ended, timed_out = Counter[str](), Counter[str]()
    keys = [gopher.server.keys.for_queue(queue) for queue in gopher.server.queues()]
    with explained():
        totals = [ask(gopher.server.client, [("HGETALL", each.totals)])[0] for each in keys]
    for field, count in (pair for found in totals for pair in counters(found).items()):
        if event_of(field) in ("completed", "failed"):
            job_type, _, error = field.partition(":")[2].partition(":")
            ended[job_type] += count
            timed_out[job_type] += count if error == _ERROR else 0
    return ended, timed_out


def _finding(job_type: str, timed_out: int, ended: int) -> Finding:
    return Finding(
        f"{timed_out:,} of {ended:,} ended jobs of type {job_type!r} failed because their last attempt ran longer than "
        "its timeout",
        f"Declare a longer one, @handler({job_type!r}, timeout=...), or let each job do less; then retry or discard "
        f"them: `gopherctl retry-all --type {job_type} --error {_ERROR}`.",
    )

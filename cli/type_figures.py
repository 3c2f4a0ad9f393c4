"""The figures of a job type, shown by `stats TYPE`."""

from gopher.base.counters import TIMELINE
from gopher.base.durations import format_duration
from gopher.base.sizes import format_size
from gopher.reads.histogram import Latency, Memory
from gopher.reads.type_stats import TypeStats

from .output import Cell, Output, seconds, when


def show_type(out: Output, found: TypeStats) -> None:
    """Print what is known of a job type."""
    if out.data(found):
        return
    recent = {event: sum(getattr(point, event) for point in found.points) for event in TIMELINE}
    counts = [(event, recent[event], found.totals[event]) for event in TIMELINE]
    out.table(("jobs", f"last {format_duration(found.window)}", "in all"), counts, empty="")
    out.line("")
    rows = [
        ("waited", *_times(found.wait)),
        ("ran", *_times(found.run)),
        ("CPU time", *_times(found.cpu)),
        ("peak memory", *_sizes(found.memory)),
    ]
    out.table(("in all", "count", "mean", "median", "95 %"), rows, empty="")
    if found.errors:
        out.line("")
        out.table(("error", "dead letters"), list(found.errors.items()), empty="")
    if found.slowest:
        out.line("")
        slow = [
            (job.job_id, job.queue, job.status, when(job.finished_at), seconds(job.duration)) for job in found.slowest
        ]
        columns = ("slowest of the last", "queue", "status", "finished (UTC)", "duration")
        out.table(columns, slow, empty="", less_needed=("queue", "status"))


def _times(latency: Latency) -> tuple[Cell, ...]:
    return latency.count, *(seconds(value) for value in (latency.mean, latency.p50, latency.p95))


def _sizes(memory: Memory) -> tuple[Cell, ...]:
    values = (memory.mean, memory.p50, memory.p95)
    return memory.count, *(None if value is None else format_size(value) for value in values)

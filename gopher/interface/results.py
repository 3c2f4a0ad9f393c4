"""Types of results that programs need to read only: `operation` resolves the interface's annotations and answers."""

from gopher.jobs.answers import BatchAccepted, Count, JobMade, JobStatus, JobTypes, Logs, Why, Workers
from gopher.jobs.audit import AuditPage
from gopher.jobs.capacity import Capacity
from gopher.jobs.dry_run import DryRun
from gopher.jobs.inputs import JobInput
from gopher.jobs.models import Accepted, JobView, LogLine, Page, Reason, TypeView, WorkerView
from gopher.jobs.stats import Stats
from gopher.reads.health import Health
from gopher.reads.timeline import Timeline
from gopher.reads.type_stats import TypeStats

__all__ = [
    "Accepted",
    "AuditPage",
    "BatchAccepted",
    "Capacity",
    "Count",
    "DryRun",
    "Health",
    "JobInput",
    "JobMade",
    "JobStatus",
    "JobTypes",
    "JobView",
    "LogLine",
    "Logs",
    "Page",
    "Reason",
    "Stats",
    "Timeline",
    "TypeStats",
    "TypeView",
    "Why",
    "WorkerView",
    "Workers",
]

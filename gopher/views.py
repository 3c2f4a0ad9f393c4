"""Public module for the models of results."""

from gopher.jobs.stats import PriorityStats, QueueStats, Stats

from .base.renamed import old_names
from .jobs.attempts import HistoryRow
from .jobs.limit_view import LimitView
from .jobs.models import (
    Accepted,
    ChildView,
    DeadLetterPage,
    GroupPage,
    GroupView,
    JobView,
    LogLine,
    Page,
    PreviewRow,
    Reason,
    RedriveView,
    SchedulePage,
    ScheduleView,
    TypeView,
    WorkerView,
)

__all__ = [
    "Accepted",
    "ChildView",
    "DeadLetterPage",
    "GroupPage",
    "GroupView",
    "HistoryRow",
    "JobView",
    "LimitView",
    "LogLine",
    "Page",
    "PreviewRow",
    "PriorityStats",
    "QueueStats",
    "Reason",
    "RedriveView",
    "SchedulePage",
    "ScheduleView",
    "Stats",
    "TypeView",
    "WorkerView",
]

__getattr__ = old_names(__name__, {"RetryView": ("RedriveView", RedriveView)})

"""Public module for the models of results."""

from .base.renamed import old_names
from .jobs.models import (
    Accepted,
    ChildView,
    DeadLetterPage,
    GroupPage,
    GroupView,
    HistoryRow,
    JobView,
    LimitView,
    LogLine,
    Page,
    PreviewRow,
    PriorityStats,
    QueueStats,
    Reason,
    RedriveView,
    ScheduleView,
    Stats,
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
    "ScheduleView",
    "Stats",
    "TypeView",
    "WorkerView",
]

__getattr__ = old_names(__name__, {"RetryView": ("RedriveView", RedriveView)})

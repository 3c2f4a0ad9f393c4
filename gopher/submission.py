"""Public module for submissions."""

from .jobs.schedule import ScheduleSpec
from .jobs.submission import (
    InvalidBatch,
    JobFields,
    Submission,
    SubmitOptions,
)

__all__ = [
    "InvalidBatch",
    "JobFields",
    "ScheduleSpec",
    "Submission",
    "SubmitOptions",
]

"""Public module for submissions."""

from .jobs.submission import (
    InvalidBatch,
    JobFields,
    Submission,
    SubmitOptions,
)

__all__ = [
    "InvalidBatch",
    "JobFields",
    "Submission",
    "SubmitOptions",
]

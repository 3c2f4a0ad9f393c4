"""What is submitted, under the name that the documentation promises."""

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

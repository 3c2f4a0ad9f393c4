"""What is submitted, under the name that the documentation promises."""

from .jobs.submission import (
    InvalidBatch,
    Submission,
)

__all__ = [
    "InvalidBatch",
    "Submission",
]

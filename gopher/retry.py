"""Public module for retry delays."""

from .jobs.backoff import (
    Backoff,
)

__all__ = [
    "Backoff",
]

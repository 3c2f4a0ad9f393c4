"""How long to wait before another attempt, under the name that the documentation promises."""

from .jobs.backoff import (
    Backoff,
)

__all__ = [
    "Backoff",
]

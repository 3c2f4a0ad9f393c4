"""Gopher, a job queue: the public names for handlers and programs.

Names are imported on first use, so that a handler module does not load the queue's client, and a program that only
enqueues does not load the handlers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api_client.client import HttpClient as HttpClient
    from .client import Client as Client
    from .errors import Cancelled as Cancelled
    from .errors import Discard as Discard
    from .errors import RateLimited as RateLimited
    from .errors import Retry as Retry
    from .errors import Snooze as Snooze
    from .errors import SoftTimeout as SoftTimeout
    from .jobs.handlers import handler as handler
    from .jobs.job import Job as Job
    from .jobs.job import current_job as current_job

__version__ = "0.1.0"

_HOMES = {
    "Cancelled": "errors",
    "Client": "client",
    "Discard": "errors",
    "HttpClient": "api_client.client",
    "Job": "jobs.job",
    "RateLimited": "errors",
    "Retry": "errors",
    "Snooze": "errors",
    "SoftTimeout": "errors",
    "current_job": "jobs.job",
    "handler": "jobs.handlers",
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - the one list is _HOMES


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gopher' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value

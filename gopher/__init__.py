"""Gopher, a job queue: the names that a user's handlers and programs import.

Names are loaded when they are first used, so that a handler module does not pull in
the queue's client and a program that only enqueues does not pull in the handlers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client as Client
    from .errors import Cancelled as Cancelled
    from .errors import Discard as Discard
    from .errors import RateLimited as RateLimited
    from .errors import Retry as Retry
    from .errors import Snooze as Snooze
    from .errors import SoftTimeout as SoftTimeout
    from .http_client import HttpClient as HttpClient
    from .job import Job as Job
    from .job import current_job as current_job
    from .registry import handler as handler

__version__ = "0.1.0"

_HOMES = {
    "Cancelled": "errors",
    "Client": "client",
    "Discard": "errors",
    "HttpClient": "http_client",
    "Job": "job",
    "RateLimited": "errors",
    "Retry": "errors",
    "Snooze": "errors",
    "SoftTimeout": "errors",
    "current_job": "job",
    "handler": "registry",
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - the one list is _HOMES


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gopher' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value

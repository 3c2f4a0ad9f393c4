"""Gopher, a job queue: the public names for handlers and programs.

Names are imported on first use, so that a handler module does not load the queue's client, and a program that only
enqueues does not load the handlers.
"""

from typing import TYPE_CHECKING

from .base.names_on_use import names_on_use

if TYPE_CHECKING:
    from .aio.client import AsyncClient as AsyncClient
    from .api_client.client import HttpClient as HttpClient
    from .client import Client as Client
    from .errors import Cancelled as Cancelled
    from .errors import Discard as Discard
    from .errors import JobFailed as JobFailed
    from .errors import RateLimited as RateLimited
    from .errors import Retry as Retry
    from .errors import Snooze as Snooze
    from .errors import SoftTimeout as SoftTimeout
    from .jobs.declared_schedules import Schedule as Schedule
    from .jobs.handlers import handler as handler
    from .jobs.job import Job as Job
    from .jobs.job import current_job as current_job
    from .tasks.default_client import configure as configure
    from .tasks.handle import JobHandle as JobHandle
    from .tasks.task import AsyncTask as AsyncTask
    from .tasks.task import Task as Task
    from .tasks.task import task as task

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "aio.client",
    "AsyncTask": "tasks.task",
    "Cancelled": "errors",
    "Client": "client",
    "Discard": "errors",
    "HttpClient": "api_client.client",
    "Job": "jobs.job",
    "JobFailed": "errors",
    "JobHandle": "tasks.handle",
    "RateLimited": "errors",
    "Retry": "errors",
    "Snooze": "errors",
    "Schedule": "jobs.declared_schedules",
    "SoftTimeout": "errors",
    "Task": "tasks.task",
    "configure": "tasks.default_client",
    "current_job": "jobs.job",
    "handler": "jobs.handlers",
    "task": "tasks.task",
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - the one list is _HOMES

__getattr__ = names_on_use(__name__, _HOMES)

"""Gopher in a Django project: add "gopher.integrations.django" to INSTALLED_APPS. See docs/frameworks.md.

Nothing of Django is imported before it is used: this is imported before the apps are ready.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, Protocol, Unpack

from gopher.client import Client
from gopher.jobs.submission import SubmitOptions

__all__ = ["client", "delay_on_commit", "enqueue", "enqueue_on_commit", "replaced_by"]

P = ParamSpec("P")


class Delayed(Protocol[P]):
    """Something with a method `delay` that submits a job."""

    @property
    def delay(self) -> Callable[P, object]: ...


def client() -> Client:
    """Return this process's client of the project's server, with the settings of `GOPHER`."""
    from .project import project

    return project.client


def enqueue(job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
    """Submit a job now and return its id, as `Client.enqueue` does."""
    return client().enqueue(job_type, payload, **options)


def enqueue_on_commit(
    job_type: str, payload: Any, *, using: str | None = None, **options: Unpack[SubmitOptions]
) -> str:
    """Submit a job when the current transaction is committed, at once if there is none; return its id.

    It is checked now, so that a mistake rolls the transaction back. Nothing is submitted if that is rolled back. The id
    may be stored in the same transaction. If the job turns out to be a duplicate of another (`unique_key`), that one
    has an id of its own.
    """
    from django.db import transaction

    job = client().prepare(job_type, payload, **options)
    transaction.on_commit(lambda: client().store([job]), using=using)
    return job.id


def delay_on_commit(task: Delayed[P], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `task.delay(...)` when the current transaction is committed, at once if there is none.

    Arguments of a task of Gopher are checked now, so that a mistake rolls the transaction back.
    """
    from django.db import transaction

    if (described := getattr(task, "job", None)) is not None:
        described(*args, **kwargs)
    transaction.on_commit(partial(task.delay, *args, **kwargs))


@contextmanager
def replaced_by(replacement: Client) -> Iterator[Client]:
    """Use another client within the block, such as a test's EagerClient."""
    from .project import project

    with project.replaced_by(replacement):
        yield replacement

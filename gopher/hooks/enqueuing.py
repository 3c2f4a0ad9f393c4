"""Hooks around enqueuing, in the process that stores the jobs."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from gopher.jobs.job import NewJob

from .added import enqueuing
from .middleware import OutgoingJob
from .registered import Hooked

_log = logging.getLogger("gopher.middleware")


class Stored(Protocol):
    """The result of storing a job."""

    @property
    def job_id(self) -> str: ...

    @property
    def duplicate(self) -> bool: ...


Answer = TypeVar("Answer", bound=Stored)


def around_enqueue(jobs: Sequence[NewJob], store: Callable[[Sequence[NewJob]], list[Answer]]) -> list[Answer]:
    """Store jobs within the middleware. Raises what a `before_enqueue` raises, then nothing was stored."""
    outgoing = [OutgoingJob(job) for job in jobs]
    begun: list[Hooked] = []
    try:
        for each in list(enqueuing):
            if each.before_enqueue is not None:
                each.before_enqueue(outgoing)
            begun.append(each)
        answers = store([job.job() for job in outgoing])
    except BaseException as error:
        _end(begun, outgoing, error)
        raise
    for job, answer in zip(outgoing, answers, strict=True):
        job.job_id, job.duplicate = answer.job_id, answer.duplicate
    _end(begun, outgoing, None)
    return answers


def _end(begun: Sequence[Hooked], jobs: Sequence[OutgoingJob], error: BaseException | None) -> None:
    for each in reversed(begun):
        if each.after_enqueue is not None:
            try:
                each.after_enqueue(jobs, error)
            except Exception:  # noqa: BLE001 - the jobs are stored, or not, whatever it says
                _log.exception("%s.after_enqueue() has failed", each.name)

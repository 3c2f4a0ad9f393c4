"""Answers in place of an API the calls that are not sent (see `hooks.holding`)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gopher.hooks.holding import Holder
from gopher.interface import BatchesInterface, Gopher
from gopher.interface.operation import Operation, declaration_of
from gopher.interface.stored import Stored, accepted
from gopher.jobs.answers import BatchAccepted
from gopher.jobs.batch import NewBatch
from gopher.jobs.handlers import Handler
from gopher.jobs.job import NewJob
from gopher.jobs.models import Accepted
from gopher.jobs.prepare import prepare, prepare_batch
from gopher.jobs.registry import Registry, registry
from gopher.jobs.submission import Submission, parse_batch

from .transport import Answer


class _KnownTypes(Registry):
    """The job types of this process. Others may be submitted, too: the API may know them."""

    checks = False

    def get(self, name: str) -> Handler | None:
        return registry.get(name)


def answer_held(holder: Holder, declared: Operation, arguments: Mapping[str, Any], body: bytes | None) -> Answer:
    """Return what the API would have answered to a submission. Raises the holder's error for any other change."""
    answer: object
    if declared is declaration_of(Gopher.submit):
        submission = msgspec.json.decode(body or b"", type=Submission)
        if submission.recurring is not None:
            holder.refuse("schedules.put")
        (answer,) = _held(holder, [prepare(submission, _KnownTypes())])
    elif declared is declaration_of(Gopher.submit_batch):
        answer = BatchAccepted(_held(holder, prepare_batch(parse_batch(body or b""), _KnownTypes())))
    elif declared is declaration_of(BatchesInterface.create):
        answer = holder.create_batch(msgspec.json.decode(body or b"", type=NewBatch))
    elif declared is declaration_of(BatchesInterface.seal):
        answer = holder.seal_batch(arguments["batch_id"])
    else:
        holder.refuse(declared.action or f"{declared.method} {declared.route}")
    return Answer(200, {}, msgspec.json.encode(answer))


def _held(holder: Holder, jobs: list[NewJob]) -> list[Accepted]:
    return [accepted(job, Stored(job_id)) for job, job_id in zip(jobs, holder.store(jobs), strict=True)]

"""An attempt as handlers and middleware see it: its `Job`, and whether it is the last one."""

import time
from typing import Any

import msgspec

from gopher.files.job_files import StoredJobFiles
from gopher.files.large_payloads import payload_file
from gopher.jobs.job import NO_METADATA, Envelope, Job, Reporter, died_of_memory
from gopher.queue.replies import FetchedJob
from gopher.telemetry.trace_context import trace_id

from .messages import Assignment


class PreemptibleJob(Job):
    """A job that may be frozen: its deadline moves by that time."""

    @property  # type: ignore[misc]
    def deadline(self) -> float | None:  # type: ignore[override]
        at: float = _DEADLINE.__get__(self)
        return at + self.reporter.frozen_seconds()


_DEADLINE: Any = Job.deadline


def job_of(given: Assignment, envelope: Envelope, reporter: Reporter, kind: type[Job] = Job) -> Job:
    """Return what a handler is given beside its payload."""
    fetched = given.job
    # At most 15 arguments by name: Python takes twice as long for more. What few jobs have is assigned below.
    job = kind(
        id=fetched.id,
        type=fetched.type,
        queue=given.queue,
        priority=fetched.priority,
        attempt=fetched.attempt,
        max_retries=given.max_retries,
        metadata={} if envelope.metadata is NO_METADATA else msgspec.json.decode(envelope.metadata),
        tags=envelope.tags,
        batch=envelope.batch,
        deadline=time.time() + given.timeout,
        owner=envelope.owner,
        reporter=reporter,
        uploads=envelope.files,
        open_files=StoredJobFiles,
    )
    if fetched.parents:
        job.parents = {parent: msgspec.json.decode(result or b"null") for parent, result in fetched.parents.items()}
    if envelope.trace:
        job.trace_id, job.traceparent = trace_id(envelope.trace), envelope.trace.get("traceparent", "")
    if envelope.payload_is_file:
        job.payload_file = payload_file(envelope)
    return job


def failures(job: FetchedJob) -> int:
    """Return how many attempts have failed with this one: all but those that crashed or were lost."""
    return max(job.attempt - len(job.crashes) - job.lost, 1)


def runs_alone(job: FetchedJob) -> bool:
    """Return whether nothing may run beside a job, because it was killed for lack of memory."""
    return bool(job.crashes) and any(map(died_of_memory, job.crashes))


def is_last(given: Assignment, delay: float) -> bool:
    """Return whether no other attempt follows one that has failed, and would be repeated in `delay` seconds."""
    return failures(given.job) > given.max_retries or time.monotonic() + delay > given.give_up_at

"""An attempt as handlers and middleware see it: its `Job`, and whether it is the last one."""

import time
from typing import Any

import msgspec

from gopher.jobs.job import NO_METADATA, Envelope, Job, Reporter, created_ms
from gopher.queue.replies import FetchedJob
from gopher.telemetry.trace_context import trace_id

from .messages import Assignment


def job_of(given: Assignment, envelope: Envelope, reporter: Reporter) -> Job:
    """Return what a handler is given beside its payload."""
    fetched = given.job
    return Job(
        id=fetched.id,
        type=fetched.type,
        queue=given.queue,
        priority=fetched.priority,
        attempt=fetched.attempt,
        max_retries=given.max_retries,
        metadata={} if envelope.metadata is NO_METADATA else msgspec.json.decode(envelope.metadata),
        deadline=time.time() + given.timeout,
        parents=_decoded(fetched.parents) if fetched.parents else {},
        trace_id=trace_id(envelope.trace) if envelope.trace else "",
        owner=envelope.owner,
        reporter=reporter,
    )


def _decoded(parents: dict[str, bytes]) -> dict[str, Any]:
    return {parent: msgspec.json.decode(result or b"null") for parent, result in parents.items()}


def failures(job: FetchedJob) -> int:
    """Return how many attempts have failed with this one: all but those that crashed or were lost."""
    return max(job.attempt - len(job.crashes) - job.lost, 1)


def is_last(given: Assignment, envelope: Envelope, delay: float) -> bool:
    """Return whether no other attempt follows one that has failed, and would be repeated in `delay` seconds.

    It decides as the supervisor does, but by this machine's clock.
    """
    if failures(given.job) > given.max_retries:
        return True
    give_up_at = None if envelope.retry_for is None else created_ms(given.job.id) / 1000 + envelope.retry_for
    return give_up_at is not None and time.time() + delay > give_up_at

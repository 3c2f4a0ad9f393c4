"""Log fields of the running job."""

from typing import TYPE_CHECKING, Any

from gopher.jobs.job import Envelope, read_envelope
from gopher.telemetry.trace_context import REQUEST_ID, trace_id

from .messages import Assignment

if TYPE_CHECKING:
    from .running import Running


class JobFields:
    """The fields of the running job, determined only if something is logged."""

    def __init__(self) -> None:
        self._given: Assignment | None = None
        self._envelope: Envelope | None = None

    def set(self, given: Assignment | None, envelope: Envelope | None = None) -> None:
        self._given, self._envelope = given, envelope

    def __call__(self) -> dict[str, Any]:
        given, envelope = self._given, self._envelope
        if given is None:
            return {}
        fields: dict[str, Any] = {
            "job_id": given.job.id,
            "job_type": given.job.type,
            "queue": given.queue,
            "attempt": given.job.attempt,
            "worker": given.job.token.rpartition(".")[0],
        }
        return fields | trace_fields(envelope)


def job_fields(running: "Running") -> dict[str, Any]:
    """Return the fields of a job for the supervisor's lines, all of which also have `worker`."""
    job = running.job
    envelope = read_envelope(job.envelope)
    fields = {"job_id": job.id, "job_type": job.type, "queue": running.queue, "attempt": job.attempt}
    return fields | trace_fields(envelope)


def trace_fields(envelope: Envelope | None) -> dict[str, str]:
    """Return the trace id and the request id of a job, if it has them."""
    carrier = envelope.trace if envelope is not None else {}
    found = {"trace_id": trace_id(carrier), "request_id": carrier.get(REQUEST_ID, "")}
    return {name: value for name, value in found.items() if value}

"""A submitted job of a task: waits for its result, which has the type that the task's function returns."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from gopher.base.durations import format_duration, parse_duration
from gopher.base.states import ENDED, State
from gopher.errors import JobFailed

if TYPE_CHECKING:
    from gopher.interface import Gopher
    from gopher.jobs.handlers import Handler
    from gopher.jobs.models import JobView

R = TypeVar("R")


class JobHandle(Generic[R]):
    """A job of a task, by its `id`."""

    def __init__(self, job_id: str, handler: "Handler", client: "Gopher") -> None:
        self.id = job_id
        self._handler = handler
        self._client = client

    def result(self, timeout: str | float | timedelta | None = None) -> R:
        """Return what the task has returned, as the type that it is annotated with; wait for it if need be.

        Raises JobFailed unless the job completes, with the traceback from the worker; TimeoutError if it has not ended
        after `timeout`; JobNotFound if its record does not exist any more.
        """
        seconds = None if timeout is None else parse_duration(timeout)
        view = self._client.wait(self.id, seconds)
        if view.status not in ENDED:
            waited = "" if seconds is None else f" after {format_duration(seconds)}"
            raise TimeoutError(f"job {self.id} ({view.type}) is {view.status}{waited}")
        if view.status != State.COMPLETED:
            raise _failure(view)
        return self._decoded(bytes(view.result))

    @property
    def status(self) -> str:
        """The present state of the job, such as `completed`. Raises JobNotFound."""
        return self.view().status

    @property
    def done(self) -> bool:
        """Whether the job has ended, in whatever way. Raises JobNotFound."""
        return self.view().status in ENDED

    def view(self) -> "JobView":
        """Return the job with its attempts, progress and error. Raises JobNotFound."""
        return self._client.job(self.id)

    def cancel(self) -> str:
        """Cancel the job, as `Client.cancel` does."""
        return self._client.cancel(self.id)

    def _decoded(self, text: bytes) -> R:
        from gopher.files.large_results import attached_name

        if name := attached_name(text):
            text = self._client.files.read(self.id, name)
        kind = self._handler.result
        return cast("R", msgspec.json.decode(text) if kind is None else kind.decode(text))

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} {self._handler.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


def _failure(view: "JobView") -> JobFailed:
    error: dict[str, Any] = (msgspec.json.decode(view.error) if view.error else None) or {}
    return JobFailed(
        view.job_id,
        view.type,
        view.status,
        error_type=error.get("type", ""),
        message=error.get("message", ""),
        traceback=error.get("traceback", ""),
    )

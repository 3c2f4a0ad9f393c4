"""What a middleware is, and what its methods are told."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from gopher.jobs.job import Envelope, Job, NewJob, decode_envelope
from gopher.jobs.prepare import check_metadata
from gopher.jobs.submission import to_json

Kind = Literal["completed", "failed", "timeout", "cancelled", "snoozed", "rate_limited", "crashed", "lost"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How an attempt has ended. `error` is the exception where there is one: none for a child that died."""

    kind: Kind
    #: What the handler returned.
    result: Any = None
    error: BaseException | None = None
    error_type: str = ""
    message: str = ""
    traceback: str = ""
    #: Where in the handler's code it failed, e.g. `shop/mail.py:42 send`.
    place: str = ""
    #: Whether no further attempt follows: the job is a dead letter.
    dead: bool = False

    @property
    def is_failure(self) -> bool:
        """Whether the attempt counts as failed: not when the job was snoozed, throttled or cancelled."""
        return self.kind in ("failed", "timeout", "crashed", "lost")


class OutgoingJob:
    """A job that is about to be stored. Its `metadata` may be changed, in place too; the rest is decided."""

    def __init__(self, job: NewJob) -> None:
        self._job = job
        self._envelope: Envelope | None = None
        self._metadata: dict[str, Any] | None = None
        #: Set for `after_enqueue`: the id of the job; of the existing job if this one is a duplicate.
        self.job_id = job.id
        self.duplicate = False

    @property
    def type(self) -> str:
        return self._job.type

    @property
    def queue(self) -> str:
        return self._job.queue

    @property
    def priority(self) -> str:
        return self._job.priority

    @property
    def payload(self) -> Any:
        """The payload as JSON gives it, a copy."""
        return msgspec.json.decode(self._read().payload)

    @property
    def metadata(self) -> dict[str, Any]:
        if self._metadata is None:
            self._metadata = msgspec.json.decode(self._read().metadata)
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any]) -> None:
        self._metadata = metadata

    def _read(self) -> Envelope:
        if self._envelope is None:
            self._envelope = decode_envelope(self._job.envelope)
        return self._envelope

    def job(self) -> NewJob:
        """Return the job as it is to be stored. Raises InvalidJob for invalid metadata."""
        if self._metadata is None:
            return self._job
        metadata = check_metadata(msgspec.Raw(to_json(self._metadata, "/metadata")), names=False)
        if bytes(metadata) == bytes(self._read().metadata):
            return self._job
        envelope = msgspec.structs.replace(self._read(), metadata=metadata)
        return msgspec.structs.replace(self._job, envelope=msgspec.json.encode(envelope))


class Middleware:
    """Hooks around enqueuing and around attempts: override what you need, and `add()` an instance.

    Those added first are outermost: their `before` comes first, their `after` last.
    """

    def before_enqueue(self, jobs: Sequence[OutgoingJob]) -> None:
        """Called in the process that stores jobs, with those of one call. What it raises, the caller gets, and
        nothing is stored."""

    def after_enqueue(self, jobs: Sequence[OutgoingJob], error: BaseException | None) -> None:
        """Called when they are stored, or with the exception because of which they are not."""

    def before(self, job: Job) -> None:
        """Called in the child before the handler. What it raises means the same as if the handler raised it."""

    def on_success(self, job: Job, result: Any) -> None:
        """Called in the child when the handler has returned what can be stored: to commit, for instance. What it
        raises means the same as if the handler raised it."""

    def after(self, job: Job, outcome: Outcome) -> None:
        """Called in the child when the attempt has ended, however that was."""

    def on_failure(self, job: Job, outcome: Outcome) -> None:
        """Called for each attempt that has failed: in the child, or, where that died, in a process beside it."""

    def on_dead(self, job: Job, outcome: Outcome) -> None:
        """Called after `on_failure` when no further attempt follows."""

    def preload(self) -> None:
        """Called once in the worker, after those of the handler modules, before children are forked."""

    def on_child_start(self) -> None:
        """Called in each child before those of the handler modules. If it raises, the child is started again."""

    def on_child_stop(self) -> None:
        """Called in each child that exits normally, after those of the handler modules."""


#: What `add` looks for, and what each takes.
HOOKS: dict[str, tuple[str, ...]] = {
    "before_enqueue": ("jobs",),
    "after_enqueue": ("jobs", "error"),
    "before": ("job",),
    "on_success": ("job", "result"),
    "after": ("job", "outcome"),
    "on_failure": ("job", "outcome"),
    "on_dead": ("job", "outcome"),
    "preload": (),
    "on_child_start": (),
    "on_child_stop": (),
}

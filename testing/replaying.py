"""Runs the handler of a job of a server in this process, such as that of a dead letter, and changes nothing there."""

import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from gopher.worker.children import failures
from gopher.worker.children.child import what_becomes
from gopher.worker.children.coroutines import Coroutines
from gopher.worker.children.hooked import KINDS

from gopher.base.durations import format_duration
from gopher.config.settings import Settings
from gopher.errors import Discard, GopherError, JobNotFound, SoftTimeout
from gopher.files.large_results import read_attached
from gopher.hooks.holding import holding
from gopher.interface import Gopher
from gopher.jobs.callbacks import DELIVERY_TYPE
from gopher.jobs.handlers import Handler
from gopher.jobs.inputs import JobInput
from gopher.jobs.job import Envelope, FileRef, Job
from gopher.jobs.options import Options, resolve
from gopher.jobs.registry import Registry, unknown_type
from gopher.jobs.registry import registry as registered
from gopher.tasks.default_client import default_client, submitting_by
from gopher.telemetry.trace_context import trace_id

from .held import Held, HeldJob
from .local_files import LocalFiles
from .running import ENDS, Recorder, attempt, error_type_of


class CannotReplay(GopherError):
    """Raised for a job whose handler can't be called here; the message gives the reason."""


class Replayed(msgspec.Struct, kw_only=True):
    """What the handler of a job has done here, and would have done on the server."""

    job_id: str
    type: str
    attempt: int
    #: completed, failed, timeout, cancelled, snoozed or rate_limited.
    outcome: str
    #: As decoded from JSON.
    result: Any
    error: BaseException | None
    log: list[str]
    progress: list[tuple[float, str]]
    #: The jobs that it would have enqueued, and what else it would have changed.
    enqueued: list[HeldJob]
    held_back: list[str]
    #: The files that it has stored, which are here.
    attached: list[Path]
    #: What differs from what the worker had.
    notes: list[str]

    @property
    def error_type(self) -> str:
        """The error's type as a dead letter has it; "" without one."""
        if self.error is None:
            return ""
        return "Timeout" if self.outcome == "timeout" else error_type_of(self.error)

    @property
    def message(self) -> str:
        return failures.message(self.error) if self.error is not None else ""

    @property
    def traceback(self) -> str:
        """The traceback from the handler's first frame on."""
        return failures.trace(self.error) if self.error is not None else ""


class Replay:
    """One job, with what its handler was given.

    `client` is where it is read from, over the API or on the server itself. Files that the handler stores are put into
    `folder`. With `enqueue`, the jobs that it enqueues are really enqueued, and whatever else it changes by clients is
    changed; without, it is only noted. Raises JobNotFound; CannotReplay with the reason.
    """

    def __init__(
        self,
        job_id: str,
        client: Gopher | None = None,
        *,
        registry: Registry | None = None,
        folder: Path | None = None,
        enqueue: bool = False,
        reporter: Recorder | None = None,
    ) -> None:
        self._client = default_client() if client is None else client
        self.given = given = _input(self._client, job_id)
        self._handler = _handler(registered if registry is None else registry, given)
        envelope = Envelope(max_retries=given.max_retries, timeout=given.timeout)
        self.options: Options = resolve(envelope, self._handler, Settings.from_env())
        self._files = LocalFiles(self._client, folder or Path(f"replay-{given.job_id}"))
        self._reporter = reporter or Recorder()
        self._held = None if enqueue else Held()
        self.notes = [
            f"no result of {parent} is left, or it is not for this key: job.parents[{parent!r}] is None"
            for parent, found in given.parents.items()
            if not found.kept
        ]

    def run(
        self, *, with_timeout: bool = False, on_error: Callable[[BaseException], None] = lambda error: None
    ) -> Replayed:
        """Call the handler within the middleware, as a child does, and return what has come of it.

        `on_error` is called with its exception while everything is still as it was left. There is no timeout unless
        `with_timeout`, which needs the main thread.
        """
        with closing(self._files), holding(self._held), submitting_by(self._client):
            job = self._job()
            payload = self._payload(job)
            coroutines = Coroutines()
            try:
                with _timeout(self.options.timeout if with_timeout else 0.0, coroutines) as stop_timer:

                    def caught(error: BaseException) -> None:
                        stop_timer()
                        on_error(error)

                    def await_result(coroutine: Coroutine[Any, Any, Any]) -> object:
                        return coroutines.run(coroutine, lambda: None)

                    result = attempt(self._handler, job, payload, caught, await_result)
            except ENDS as error:
                return self._replayed(job, b"", error)
            return self._replayed(job, result, None)

    def _payload(self, job: Job) -> bytes | msgspec.Raw:
        """Return the payload. Raises CannotReplay, also for a large result of a parent that is gone."""
        try:
            read_attached(job, {parent: bytes(found.result) for parent, found in self.given.parents.items()})
            return job.stored_payload() if self.given.payload_file else self.given.payload
        except (GopherError, Discard) as error:
            raise CannotReplay(f"what job {job.id} was given is not kept any more: {error}") from None

    def _job(self) -> Job:
        given = self.given
        return Job(
            id=given.job_id,
            type=given.type,
            queue=given.queue,
            priority=given.priority,
            attempt=given.attempt,
            max_retries=self.options.max_retries,
            metadata=msgspec.json.decode(given.metadata),
            tags=tuple(given.tags),
            batch=given.batch,
            deadline=time.time() + self.options.timeout,
            parents={parent: msgspec.json.decode(found.result) for parent, found in given.parents.items()},
            trace_id=trace_id({"traceparent": given.traceparent}) if given.traceparent else "",
            traceparent=given.traceparent,
            owner=given.owner,
            reporter=self._reporter,
            uploads={name: FileRef("", file.name, file.size, file.content_type) for name, file in given.files.items()},
            payload_file=given.payload_file,
            open_files=self._files.open,
        )

    def _replayed(self, job: Job, result: bytes, error: BaseException | None) -> Replayed:
        kind = "completed" if error is None else KINDS.get(what_becomes(error, self._handler)[0], "failed")
        return Replayed(
            job_id=job.id,
            type=job.type,
            attempt=job.attempt,
            outcome=kind,
            result=self._decoded(result) if error is None else None,
            error=error,
            log=self._reporter.lines,
            progress=self._reporter.reports,
            enqueued=self._held.jobs if self._held else [],
            held_back=self._held.others if self._held else [],
            attached=[self._files.attached_path(name) for name in self._files.names],
            notes=self.notes,
        )

    def _decoded(self, result: bytes) -> Any:
        return msgspec.json.decode(result or b"null")


def replay_job(job_id: str, client: Gopher | None = None, **options: Any) -> Replayed:
    """Run the handler of a job of a server here, and return what has come of it: see `Replay`.

    Nothing on the server is changed. Without a `client`, the job is read by that of tasks.
    """
    return Replay(job_id, client, **options).run()


def _input(client: Gopher, job_id: str) -> JobInput:
    try:
        return client.job_input(job_id)
    except JobNotFound:
        # An API of the release before has the job, but not the call.
        client.job(job_id)
        raise CannotReplay("the API is of a release that can't be asked for the input of a job: update it") from None


def _handler(registry: Registry, given: JobInput) -> Handler:
    if given.type == DELIVERY_TYPE:
        raise CannotReplay(
            f"{given.job_id} is a delivery of a webhook, which Gopher itself sends: "
            f"`gopherctl webhooks redeliver {given.job_id}` sends it again"
        )
    handler = registry.get(given.type)
    if handler is None:
        unknown = unknown_type(given.type, [each.name for each in registry])
        raise CannotReplay(f"{unknown.details}. Name the module of its handler in GOPHER_HANDLERS, or with --handlers")
    return handler


@contextmanager
def _timeout(seconds: float, coroutines: Coroutines) -> Iterator[Callable[[], None]]:
    """Raise SoftTimeout after some seconds, as in a child, unless what is yielded is called before; 0 is never.

    A coroutine is cancelled, and interrupted wherever it is if that does not help in time.
    """
    is_cancelled = False

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_cancelled
        error = SoftTimeout(f"the job's timeout of {format_duration(seconds)} has passed")
        if is_cancelled or not coroutines.cancel(error):
            raise error
        is_cancelled = True
        signal.setitimer(signal.ITIMER_REAL, Settings.from_env().worker_kill_grace)

    if not seconds:
        yield lambda: None
        return
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield _stop_timer
    finally:
        _stop_timer()
        signal.signal(signal.SIGALRM, before)


def _stop_timer() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)

"""All exceptions of Gopher.

GopherError
├── ConfigurationError      invalid settings
├── InvalidJob              an invalid submission; has the field at fault and how to fix it
│   ├── InvalidJson         not valid JSON
│   ├── UnknownType         no handler is registered for the job type
│   ├── RoleNeeded          the job type requires an API key with a higher role
│   │   └── OutOfScope      the API key is limited to other queues or job types
│   ├── PayloadTooLarge     the payload exceeds the limit
│   ├── TooManyQueues       a new queue would exceed the limit
│   │   └── UnknownQueue    a queue is not among those that are allowed
│   ├── JobIdTaken          the id that a submission chooses is that of another job
│   ├── UnsupportedFile     a file has a content type that is not accepted
│   ├── UploadLimit         too many uploads of an owner wait for a job: nothing was stored, use or wait for some
│   ├── DuplicateJob        an unfinished job has the unique key, and unique_mode is reject: nothing was stored
│   └── QueueLimit          too many jobs are waiting: nothing was stored, try again later
├── JobNotFound             no such job, or its record has expired
├── ScheduleNotFound        no such schedule
├── RedriveNotFound         no such redrive, or it has expired
├── CancellationNotFound    no such cancellation, or it has expired
├── BatchNotFound           no such batch, or it has expired
├── KeyNotFound             no such API key
├── WorkerNotFound          no such worker, or it has stopped
├── WebhookNotFound         no such webhook
├── JobConflict             the job's state does not allow the operation
├── JobFailed               the job of a task whose result is asked for has not completed
├── AccessRefused           the API key is unknown, or lacks the role
├── ApiTooOld               the API is of an earlier release, which does not have the call
└── ServerError             the server could not do it
    ├── QueueUnavailable    the server is unreachable or unavailable
    │   ├── ApiUnavailable  the API is unreachable
    │   └── OutcomeUnknown  the operation may or may not have taken effect
    ├── QueueFull           the server is out of memory: nothing was stored
    ├── NotReplicated       the job is stored, but not confirmed by replicas in time
    ├── StorageFull         the server can't write to its disk: nothing was stored
    └── QueueBusy           another client's script blocks the server: nothing was stored

Raised by handlers to control what happens to the job:
Retry, Discard, Snooze, RateLimited     (Exception)
Raised inside handlers:
SoftTimeout, Cancelled                  (BaseException, so that `except Exception` does not catch them)
"""

from collections.abc import Sequence
from functools import partial

from .base.durations import parse_duration
from .base.renamed import old_names


class GopherError(Exception):
    """Base class of Gopher's exceptions."""


class ConfigurationError(GopherError):
    """Raised for invalid settings; the message lists all of them."""


class InvalidJob(GopherError):
    """Raised when a submission is invalid.

    `field` is a JSON pointer (`/payload/width`), `code` the stable code of the API's error bodies. `is_permanent` says
    whether a handler that raises it fails without retries.
    """

    code = "invalid_job"
    is_permanent = True

    def __init__(self, details: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {details}" if field else details)
        self.details = details
        self.field = field


class InvalidJson(InvalidJob):
    """Raised for invalid JSON, or JSON that parsers interpret differently."""

    code = "invalid_json"


class UnknownType(InvalidJob):
    """Raised when no handler is registered for a job type."""

    code = "unknown_type"


class JobIdTaken(InvalidJob):
    """Raised when the id that a submission chooses is that of another job: nothing is stored."""

    code = "job_id_taken"


class NoWorker(InvalidJob):
    """Raised when a submission requires a live worker, and none serves its type and queue: nothing is stored."""

    code = "no_worker"
    is_permanent = False


class RoleNeeded(InvalidJob):
    """Raised when an API key's role does not allow submitting jobs of a type."""

    code = "forbidden"


class QueueLimit(InvalidJob):
    """Raised when too many jobs are waiting, in a queue or of an owner: nothing is stored."""

    code = "queue_limit"
    is_permanent = False

    def __init__(self, details: str, field: str | None = "/queue") -> None:
        super().__init__(details, field)


class DuplicateJob(InvalidJob):
    """Raised when an unfinished job has the unique key of one with unique_mode reject: nothing is stored.

    `job_id` is that of the unfinished job.
    """

    code = "duplicate"
    is_permanent = False

    def __init__(self, details: str, field: str | None = "/unique_key", job_id: str = "") -> None:
        super().__init__(details, field)
        self.job_id = job_id


class UnsupportedFile(InvalidJob):
    """Raised for a file with a content type that `GOPHER_FILE_TYPES` does not list: nothing is stored."""

    code = "unsupported_media_type"


class UploadLimit(InvalidJob):
    """Raised when an owner has too many uploads that no job uses: nothing is stored."""

    code = "upload_limit"
    is_permanent = False


class OutOfScope(RoleNeeded):
    """Raised when an API key is limited to other queues or job types."""


class PayloadTooLarge(InvalidJob):
    """Raised when a payload is too large."""

    code = "payload_too_large"


class TooManyQueues(InvalidJob):
    """Raised when the maximum number of queues is exceeded: nothing is stored. `queues` are the rejected ones."""

    code = "too_many_queues"

    def __init__(self, details: str, field: str | None = "/queue", queues: frozenset[str] = frozenset()) -> None:
        super().__init__(details, field)
        self.queues = queues


class UnknownQueue(TooManyQueues):
    """Raised for a queue that `GOPHER_QUEUES` does not list: nothing is stored."""

    code = "unknown_queue"


class JobNotFound(GopherError):
    """Raised when there is no such job, or its record has expired."""


class ScheduleNotFound(GopherError):
    """Raised when there is no such schedule."""


class ScheduleChanged(GopherError):
    """Raised when a schedule no longer has the version that the caller has seen: nothing was changed."""


class RedriveNotFound(GopherError):
    """Raised when there is no such redrive of dead letters, or no longer."""


class CancellationNotFound(GopherError):
    """Raised when there is no such cancellation of jobs by a filter, or no longer."""


class BatchNotFound(GopherError):
    """Raised when there is no such batch, or no longer."""


class KeyNotFound(GopherError):
    """Raised when there is no such API key on the server."""


class WorkerNotFound(GopherError):
    """Raised when there is no such worker, or it has stopped."""


class WebhookNotFound(GopherError):
    """Raised for an unknown webhook."""


class JobConflict(GopherError):
    """Raised when a job's state does not allow an operation, such as cancelling a finished job."""


class JobFailed(GopherError):
    """Raised by `result()` when the job of a task has not completed: its `status` is failed, cancelled or expired.

    `error_type`, `message` and `traceback` are those of the last attempt, in the worker; "" if there was none.
    """

    def __init__(
        self, job_id: str, job_type: str, status: str, *, error_type: str = "", message: str = "", traceback: str = ""
    ) -> None:
        reason = f": {error_type}: {message}" if error_type else ""
        remote = f"\n\nIn the worker:\n{traceback.rstrip()}" if traceback else ""
        super().__init__(f"job {job_id} ({job_type}) is {status}{reason}{remote}")
        self.job_id = job_id
        self.job_type = job_type
        self.status = status
        self.error_type = error_type
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> tuple[object, ...]:
        said = {"error_type": self.error_type, "message": self.message, "traceback": self.traceback}
        return partial(JobFailed, **said), (self.job_id, self.job_type, self.status)


class AccessRefused(GopherError):
    """Raised when the API key is unknown, or its role does not allow the call."""


class ApiTooOld(GopherError):
    """Raised when the API does not have a call, as one of an earlier release. The operation had no effect."""


class ServerError(GopherError):
    """Base class of server errors. `public` is the message without its cause, which may contain addresses."""

    code = "queue_unavailable"

    def __init__(self, message: str, cause: object = None) -> None:
        super().__init__(message if cause is None else f"{message} ({cause})")
        self.public = message


class QueueUnavailable(ServerError):
    """Raised when the server is unreachable or unavailable. The operation had no effect."""


class ApiUnavailable(QueueUnavailable):
    """Raised when the API is unreachable, or something else responds in its place. The operation had no effect."""


class OutcomeUnknown(QueueUnavailable):
    """Raised when the reply was lost: the operation may or may not have taken effect."""

    code = "outcome_unknown"


class QueueFull(ServerError):
    """Raised when the server is out of memory. Nothing was stored."""

    code = "queue_full"


class NotReplicated(ServerError):
    """Raised when jobs are stored, but not as durably as was asked for. `job_ids` are those of the whole submission.

    They run like any others; only a failure of the server's machine could lose them.
    """

    code = "not_replicated"

    def __init__(self, message: str, job_ids: Sequence[str] = (), cause: object = None) -> None:
        super().__init__(message, cause)
        self.job_ids = tuple(job_ids)


class StorageFull(ServerError):
    """Raised when the server can't write to its disk. Nothing was stored."""

    code = "storage_full"


class QueueBusy(ServerError):
    """Raised when another client's long-running script blocks the server. Nothing was stored."""

    code = "busy"


class Retry(Exception):
    """Raised by a handler to retry the job after `after` (default: its backoff)."""

    def __init__(self, reason: str = "retry requested by the handler", *, after: str | float | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else parse_duration(after)


class Discard(Exception):
    """Raised by a handler to dead-letter the job without further retries."""

    def __init__(self, reason: str = "discarded by the handler") -> None:
        super().__init__(reason)


class Snooze(Exception):
    """Raised by a handler to postpone the job by `after`, without counting the attempt."""

    def __init__(self, after: str | float) -> None:
        super().__init__(f"snoozed for {after}")
        self.after = parse_duration(after)


#: What `RateLimited` may throttle, the narrowest first.
SCOPES = ("key", "tenant", "type")


class RateLimited(Exception):
    """Raised by a handler when a remote service rate-limits it: jobs are throttled for `retry_after`, and this job runs
    first afterwards, without counting the attempt.

    By default those jobs are the ones of this type with the job's limit key, or all of the type if it has none; with
    `scope="tenant"` those of the job's tenant, and with `scope="type"` always all of the type.
    """

    def __init__(self, retry_after: str | float, *, scope: str = "key") -> None:
        if scope not in SCOPES:
            raise ValueError(f"RateLimited(scope={scope!r:.60}): must be one of {', '.join(SCOPES)}")
        super().__init__(f"throttled for {retry_after}")
        self.retry_after = parse_duration(retry_after)
        self.scope = scope


class SoftTimeout(BaseException):
    """Raised inside a handler on timeout; it is killed `WORKER_KILL_GRACE` later."""


class Cancelled(BaseException):
    """Raised inside a handler when its job is cancelled; it is killed `WORKER_KILL_GRACE` later."""


__getattr__ = old_names(__name__, {"RetryNotFound": ("RedriveNotFound", RedriveNotFound)})

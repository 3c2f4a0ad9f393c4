"""All exceptions of Gopher.

GopherError
├── ConfigurationError      invalid settings
├── InvalidJob              an invalid submission; has the field at fault and how to fix it
│   ├── InvalidJson         not valid JSON
│   ├── UnknownType         no handler is registered for the job type
│   ├── RoleNeeded          the job type requires an API key with a higher role
│   ├── PayloadTooLarge     the payload exceeds the limit
│   └── TooManyQueues       a new queue would exceed the limit
├── JobNotFound             no such job, or its record has expired
├── ScheduleNotFound        no such schedule
├── RedriveNotFound         no such redrive, or it has expired
├── JobConflict             the job's state does not allow the operation
├── AccessRefused           the API key is unknown, or lacks the role
└── ServerError             the server could not do it
    ├── QueueUnavailable    the server is unreachable or unavailable
    │   ├── ApiUnavailable  the API is unreachable
    │   └── OutcomeUnknown  the operation may or may not have taken effect
    ├── QueueFull           the server is out of memory: nothing was stored
    ├── StorageFull         the server can't write to its disk: nothing was stored
    └── QueueBusy           another client's script blocks the server: nothing was stored

Raised by handlers to control what happens to the job:
Retry, Discard, Snooze, RateLimited     (Exception)
Raised inside handlers:
SoftTimeout, Cancelled                  (BaseException, so that `except Exception` does not catch them)
"""

from .base.durations import parse_duration
from .base.renamed import old_names


class GopherError(Exception):
    """Base class of Gopher's exceptions."""


class ConfigurationError(GopherError):
    """Raised for invalid settings; the message lists all of them."""


class InvalidJob(GopherError):
    """Raised when a submission is invalid.

    `field` is a JSON pointer (`/payload/width`), `code` the stable code of the API's error bodies.
    """

    code = "invalid_job"

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


class RoleNeeded(InvalidJob):
    """Raised when an API key's role does not allow submitting jobs of a type."""

    code = "forbidden"


class PayloadTooLarge(InvalidJob):
    """Raised when a payload is too large."""

    code = "payload_too_large"


class TooManyQueues(InvalidJob):
    """Raised when the maximum number of queues is exceeded: nothing is stored. `queues` are the rejected ones."""

    code = "too_many_queues"

    def __init__(self, details: str, field: str | None = "/queue", queues: frozenset[str] = frozenset()) -> None:
        super().__init__(details, field)
        self.queues = queues


class JobNotFound(GopherError):
    """Raised when there is no such job, or its record has expired."""


class ScheduleNotFound(GopherError):
    """Raised when there is no such schedule."""


class RedriveNotFound(GopherError):
    """Raised when there is no such redrive of dead letters, or no longer."""


class JobConflict(GopherError):
    """Raised when a job's state does not allow an operation, such as cancelling a finished job."""


class AccessRefused(GopherError):
    """Raised when the API key is unknown, or its role does not allow the call."""


class ServerError(GopherError):
    """Base class of server errors."""

    code = "queue_unavailable"


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


class RateLimited(Exception):
    """Raised by a handler when a remote service rate-limits it: jobs of this type are throttled for `retry_after`, and
    this job runs first afterwards, without counting the attempt."""

    def __init__(self, retry_after: str | float) -> None:
        super().__init__(f"throttled for {retry_after}")
        self.retry_after = parse_duration(retry_after)


class SoftTimeout(BaseException):
    """Raised inside a handler on timeout; it is killed `WORKER_KILL_GRACE` later."""


class Cancelled(BaseException):
    """Raised inside a handler when its job is cancelled; it is killed `WORKER_KILL_GRACE` later."""


__getattr__ = old_names(__name__, {"RetryNotFound": ("RedriveNotFound", RedriveNotFound)})

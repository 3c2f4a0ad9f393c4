"""Everything that Gopher raises.

GopherError
├── ConfigurationError      settings that can't be used
├── InvalidJob              a submission that breaks a rule; names the field and the remedy
│   ├── InvalidJson         what was sent is not JSON
│   ├── UnknownType         no handler is registered under that job type
│   ├── RoleNeeded          the type needs an API key with a stronger role
│   ├── PayloadTooLarge     more JSON than a job may carry
│   └── TooManyQueues       its queue would be one more than there may be
├── JobNotFound             no job of that id (any more)
├── ScheduleNotFound        no schedule of that name
├── RedriveNotFound         no redrive of that id (any more)
├── JobConflict             the job's state does not allow what was asked
├── AccessRefused           an API wants another key for that
└── ServerError             the server could not do it
    ├── QueueUnavailable    not reached, or it answers that it can't serve now
    │   ├── ApiUnavailable  an API is not reached over HTTP
    │   └── OutcomeUnknown  it may or may not have been done
    ├── QueueFull           out of memory: nothing was stored
    ├── StorageFull         it can't write to its disk: nothing was stored
    └── QueueBusy           a script of somebody else holds it: nothing was stored

Raised by handlers to say what becomes of the job:
Retry, Discard, Snooze, RateLimited     (Exception)
Raised inside handlers:
SoftTimeout, Cancelled                  (BaseException, so that `except Exception` lets them through)
"""

from .base.durations import parse_duration
from .base.renamed import old_names


class GopherError(Exception):
    """Base of everything that Gopher raises to its callers."""


class ConfigurationError(GopherError):
    """Raised when settings can't be used; the message lists every wrong one."""


class InvalidJob(GopherError):
    """Raised when a submission breaks a rule.

    `field` is a JSON pointer (`/payload/width`), `code` the stable code of the API's error bodies.
    """

    code = "invalid_job"

    def __init__(self, details: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {details}" if field else details)
        self.details = details
        self.field = field


class InvalidJson(InvalidJob):
    """Raised when what was sent is not JSON, or JSON that readers understand differently."""

    code = "invalid_json"


class UnknownType(InvalidJob):
    """Raised when no handler is registered under a job type."""

    code = "unknown_type"


class RoleNeeded(InvalidJob):
    """Raised when an API key's role is too weak to submit jobs of a type."""

    code = "forbidden"


class PayloadTooLarge(InvalidJob):
    """Raised when a payload is larger than a job may carry."""

    code = "payload_too_large"


class TooManyQueues(InvalidJob):
    """Raised when queues would be more than there may be: nothing is stored. `queues` are those that are refused."""

    code = "too_many_queues"

    def __init__(self, details: str, field: str | None = "/queue", queues: frozenset[str] = frozenset()) -> None:
        super().__init__(details, field)
        self.queues = queues


class JobNotFound(GopherError):
    """Raised when there is no job of that id, or no longer."""


class ScheduleNotFound(GopherError):
    """Raised when there is no schedule of that name."""


class RedriveNotFound(GopherError):
    """Raised when there is no such redrive of dead letters, or no longer."""


class JobConflict(GopherError):
    """Raised when a job's state does not allow what was asked: cancelling a finished one, say."""


class AccessRefused(GopherError):
    """Raised when an API does not know the key that it was sent, or that key's role does not cover the call."""


class ServerError(GopherError):
    """Base of what is raised when the server could not do what was asked."""

    code = "queue_unavailable"


class QueueUnavailable(ServerError):
    """Raised when the server is not reached, or answers that it can't serve now. Nothing was done."""


class ApiUnavailable(QueueUnavailable):
    """Raised when an API is not reached, or something else answers in its place. Nothing was done."""


class OutcomeUnknown(QueueUnavailable):
    """Raised when the reply was lost for good: what was asked may or may not have been done."""

    code = "outcome_unknown"


class QueueFull(ServerError):
    """Raised when the server is out of memory. Nothing was stored."""

    code = "queue_full"


class StorageFull(ServerError):
    """Raised when the server can't write to its disk. Nothing was stored."""

    code = "storage_full"


class QueueBusy(ServerError):
    """Raised when a long script of somebody holds the server. Nothing was stored."""

    code = "busy"


class Retry(Exception):
    """Raised by a handler: try this job again, `after` so long (default: by its backoff)."""

    def __init__(self, reason: str = "the handler asked for a retry", *, after: str | float | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else parse_duration(after)


class Discard(Exception):
    """Raised by a handler: this job can never succeed, put it into the dead letter queue now."""

    def __init__(self, reason: str = "the handler discarded it") -> None:
        super().__init__(reason)


class Snooze(Exception):
    """Raised by a handler: not yet. The job comes back `after` so long, and no attempt is counted."""

    def __init__(self, after: str | float) -> None:
        super().__init__(f"snoozed for {after}")
        self.after = parse_duration(after)


class RateLimited(Exception):
    """Raised by a handler: the other side says "slow down". Jobs of this type rest for `retry_after`; the job
    goes first then, and no attempt is counted."""

    def __init__(self, retry_after: str | float) -> None:
        super().__init__(f"held back for {retry_after}")
        self.retry_after = parse_duration(retry_after)


class SoftTimeout(BaseException):
    """Raised inside a handler when its timeout has passed; `WORKER_KILL_GRACE` later it is killed."""


class Cancelled(BaseException):
    """Raised inside a handler when its job was cancelled; `WORKER_KILL_GRACE` later it is killed."""


__getattr__ = old_names(__name__, {"RetryNotFound": ("RedriveNotFound", RedriveNotFound)})

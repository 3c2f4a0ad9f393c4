"""Handlers: the decorator, the registry, and typed payloads."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, Unpack

import msgspec

from gopher.base.durations import parse_duration
from gopher.config.key_kinds import Role
from gopher.errors import InvalidJob

from .backoff import Backoff, Waits, backoff_of
from .conversion import decoder, schema
from .declarations import declaration, underlying
from .declared import Declared, Mistake, payload_type
from .declared_schedules import DeclaredSchedule, schedules_of
from .decoding import explain
from .handler_options import HandlerOptions, UniqueKey, declared_by
from .job import Job
from .limit import Limit, make_limit
from .registry import Registry, registry
from .result_type import ResultType, result_type

HandlerFunction = Callable[[Job, Any], Any]


@dataclass(frozen=True)
class Handler:
    """A job type: its function and the default options of its jobs."""

    name: str
    function: HandlerFunction
    payload_type: Any
    #: Seconds; None is `WORKER_JOB_TIMEOUT`.
    timeout: float | None = None
    #: None is `WORKER_MAX_RETRIES`.
    max_retries: int | None = None
    backoff: Backoff | Waits = field(default_factory=Backoff)
    #: Exceptions that are not retried.
    permanent: tuple[type[BaseException], ...] = ()
    #: The only exceptions that are retried; None is all others.
    retry_on: tuple[type[BaseException], ...] | None = None
    limit: Limit | None = None
    #: Must never run twice at the same time: stopped if the lease may be lost.
    exclusive: bool = False
    #: May be frozen while a job of high priority runs in its place.
    preemptible: bool = False
    #: The schedules that it declares.
    schedules: tuple[DeclaredSchedule, ...] = ()
    #: The role that an API key requires to submit jobs of the type.
    needs: Role = "submit"
    #: Options of its jobs unless the submission says otherwise; None is the default. Durations in seconds.
    queue: str | None = None
    priority: str | None = None
    retention: float | None = None
    expires_in: float | None = None
    unique_key: UniqueKey | None = None
    unique_for: float | None = None
    unique_mode: str | None = None
    max_wait: float | None = None
    tags: tuple[str, ...] = ()
    durability: str | None = None
    #: Whether a result that is too large for the record is stored as a file of the job.
    attach_result: bool = False
    #: What its results are checked against.
    result: ResultType | None = None
    #: Whether the handler declares any of them.
    has_defaults: bool = field(init=False, repr=False, compare=False)
    _decoder: msgspec.json.Decoder[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_decoder", decoder(self.payload_type))
        declared = (
            self.queue, self.priority, self.retention, self.expires_in, self.unique_key, self.unique_mode,
            self.durability,
        )  # fmt: skip
        object.__setattr__(self, "has_defaults", bool(self.tags) or any(each is not None for each in declared))

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(underlying(self.function)) or "").partition("\n")[0]

    def is_final(self, error: type[BaseException]) -> bool:
        """Return whether the handler declares that an exception ends its job without retries."""
        is_retried = self.retry_on is None or issubclass(error, self.retry_on)
        return issubclass(error, self.permanent) or not is_retried

    def payload_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the payload."""
        return schema(self.payload_type)

    def validated(self, payload: bytes | msgspec.Raw) -> Any:
        """Return a submitted payload as the handler's type. Raises InvalidJob, whatever the type's own check raises."""
        try:
            return self.decode(payload)
        except InvalidJob:
            raise
        except Exception as error:
            # Of a __post_init__; msgspec converts a ValueError and a TypeError only.
            message = f"the type of the payload can't check it: {type(error).__name__}: {error}"
            raise InvalidJob(message[:500], "/payload") from error

    def decode(self, payload: bytes | msgspec.Raw) -> Any:
        """Return the payload as the handler's type. Raises InvalidJob, naming the field."""
        try:
            return self._decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise explain(error, "/payload", self.payload_type) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidJob(str(error), "/payload") from None


#: A handler's own type is kept, so that calls of it are checked.
Function = TypeVar("Function", bound=HandlerFunction)


def handler(
    name: str | None = None, *, into: Registry | None = None, **options: Unpack[HandlerOptions]
) -> Callable[[Function], Function]:
    """Register the decorated function as the handler of a job type.

    The function takes a `Job` and its payload, annotated as a msgspec Struct, a dataclass, a
    TypedDict or `dict`; its first docstring line describes the type. `name` defaults to the
    function's own. It returns any JSON value: the job's result, which must be of the type that is annotated, if one is.
    `options` are the fields of `HandlerOptions`.
    """

    target = into if into is not None else registry
    given: Any = name
    if not isinstance(given, str | None):
        target.refuse([_not_a_name(given)])
        return lambda function: function
    declared = declared_by("handler", name, options)

    def register(function: Function) -> Function:
        register_as(declared, function, target)
        return function

    return register


def register_as(declared: Declared, function: HandlerFunction, target: Registry) -> Handler | None:
    """Register a function with its options, and return its handler; None if there are mistakes."""
    mistakes = declared.mistakes(function)
    if mistakes:
        target.refuse(mistakes)
        return None
    name = declared.name or function.__name__
    backoff, retries = backoff_of(declared.backoff), declared.max_retries
    if retries is None and isinstance(backoff, Waits):
        retries = len(backoff.seconds)
    made = Handler(
        name=name,
        function=function,
        payload_type=payload_type(function),
        timeout=_seconds(declared.timeout),
        max_retries=retries,
        backoff=backoff,
        permanent=declared.permanent,
        retry_on=declared.retry_on,
        limit=make_limit(declared.rate_limit, declared.burst, declared.concurrency, per_key=declared.limit_per_key),
        exclusive=declared.exclusive,
        preemptible=declared.preemptible,
        schedules=schedules_of(declared.cron, declared.timezone, name),
        needs=declared.needs,
        queue=declared.queue,
        priority=declared.priority,
        retention=_seconds(declared.retention),
        expires_in=_seconds(declared.expires_in),
        unique_key=declared.unique_key,
        unique_for=_seconds(declared.unique_for),
        unique_mode=declared.unique_mode,
        max_wait=_seconds(declared.max_wait),
        tags=tuple(dict.fromkeys(declared.tags)),
        durability=declared.durability,
        attach_result=declared.attach_result,
        result=result_type(function),
    )
    target.add(made)
    return made


def _seconds(duration: Any) -> float | None:
    return None if duration is None else parse_duration(duration)


def _not_a_name(name: object) -> Mistake:
    if not callable(name):
        return Mistake("", 0, "", f"@handler({name!r}): the job type must be a string")
    found = declaration(name)
    return Mistake(found.file, found.line, f"{found.module}.{found.name}", "write @handler(), with parentheses")

"""Handlers: the decorator, the registry, and typed payloads."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gopher.base.durations import parse_duration
from gopher.config.kinds import Role
from gopher.errors import ConfigurationError, InvalidJob, UnknownType

from .backoff import Backoff
from .declarations import Declaration, declaration, underlying
from .declared import Declared, Mistake, payload_type
from .decoding import explain
from .job import Job
from .limit import Limit, make_limit

HandlerFunction = Callable[[Job, Any], Any]
#: Returns a job's unique key, None for none, of its payload.
UniqueKey = Callable[[Any], str | None]


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
    backoff: Backoff = field(default_factory=Backoff)
    #: Exceptions that are not retried.
    permanent: tuple[type[BaseException], ...] = ()
    limit: Limit | None = None
    #: Must never run twice at the same time: stopped if the lease may be lost.
    exclusive: bool = False
    #: The type's schedule: (cron expression, timezone).
    cron: tuple[str, str] | None = None
    #: The role that an API key requires to submit jobs of the type.
    needs: Role = "submit"
    #: Options of its jobs unless the submission says otherwise; None is the default. Durations in seconds.
    queue: str | None = None
    priority: str | None = None
    retention: float | None = None
    expires_in: float | None = None
    unique_key: UniqueKey | None = None
    unique_for: float | None = None
    #: Whether the handler declares any of them.
    has_defaults: bool = field(init=False, repr=False, compare=False)
    _decoder: msgspec.json.Decoder[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_decoder", msgspec.json.Decoder(self.payload_type))
        declared = (self.queue, self.priority, self.retention, self.expires_in, self.unique_key)
        object.__setattr__(self, "has_defaults", any(each is not None for each in declared))

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(underlying(self.function)) or "").partition("\n")[0]

    def payload_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the payload."""
        return msgspec.json.schema(self.payload_type)

    def decode(self, payload: bytes | msgspec.Raw) -> Any:
        """Return the payload as the handler's type. Raises InvalidJob, naming the field."""
        try:
            return self._decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise explain(error, "/payload") from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidJob(str(error), "/payload") from None


class Registry:
    """Handlers by job type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        #: The modules that were loaded into it (see `loading`).
        self.modules: tuple[str, ...] = ()
        self._collected: list[Mistake] | None = None
        #: The declaration of each.
        self._declared: dict[str, Declaration] = {}
        self._admit: Callable[[Handler], None] = _admit_all

    def guarded(self, admit: Callable[[Handler], None]) -> "Registry":
        """Return a copy whose `require` calls `admit`, which raises for types that may not be submitted."""
        guarded = Registry()
        guarded._handlers, guarded._declared, guarded._admit = self._handlers, self._declared, admit
        return guarded

    def add(self, handler: Handler) -> None:
        """Register a handler. Raises ConfigurationError when its name is taken by another function."""
        declared = declaration(handler.function)
        before = self._declared.get(handler.name)
        if before is not None and not declared.replaces(before):
            message = f"job type {handler.name!r} has two handlers: {before} and {declared}. Rename one of them."
            self.refuse([Mistake(declared.file, declared.line, "", message)])
            return
        self._handlers[handler.name] = handler
        self._declared[handler.name] = declared

    def refuse(self, mistakes: list[Mistake]) -> None:
        """Raise ConfigurationError, or keep the mistakes for who collects them."""
        if self._collected is None:
            raise ConfigurationError("\n".join(map(str, mistakes)))
        self._collected += mistakes

    @contextmanager
    def collecting(self) -> Iterator[list[Mistake]]:
        """Have the mistakes of all declarations that follow, instead of an error at the first one."""
        before, self._collected = self._collected, []
        try:
            yield self._collected
        finally:
            self._collected = before

    def get(self, name: str) -> Handler | None:
        return self._handlers.get(name)

    def require(self, name: str) -> Handler:
        """Return the handler of a job type. Raises UnknownType, listing the registered ones."""
        handler = self._handlers.get(name)
        if handler is None:
            known = ", ".join(sorted(self._handlers)) or "none"
            raise UnknownType(f"no handler is registered for {name!r}; registered types: {known}", "/type")
        self._admit(handler)
        return handler

    def __iter__(self) -> Iterator[Handler]:
        return iter(sorted(self._handlers.values(), key=lambda handler: handler.name))

    def __len__(self) -> int:
        return len(self._handlers)


def _admit_all(_handler: Handler) -> None:
    """Allow all types: clients of the server itself may submit any."""


#: Where `@handler` registers.
registry = Registry()


def handler(
    name: str | None = None,
    *,
    timeout: str | float | None = None,
    max_retries: int | None = None,
    backoff: str | Backoff = "exponential",
    permanent: tuple[type[BaseException], ...] = (),
    rate_limit: str | None = None,
    burst: float | None = None,
    concurrency: int | None = None,
    exclusive: bool = False,
    cron: str | None = None,
    timezone: str = "UTC",
    needs: Role = "submit",
    queue: str | None = None,
    priority: str | None = None,
    retention: str | float | None = None,
    expires_in: str | float | None = None,
    unique_key: UniqueKey | None = None,
    unique_for: str | float | None = None,
    into: Registry | None = None,
) -> Callable[[HandlerFunction], HandlerFunction]:
    """Register the decorated function as the handler of a job type.

    The function takes a `Job` and its payload, annotated as a msgspec Struct, a dataclass, a
    TypedDict or `dict`; its first docstring line describes the type. `name` defaults to the
    function's own. It returns any JSON value: the job's result.

    `rate_limit="10/s"` (with `burst`) and `concurrency=4` apply across all workers. `cron="0 3 * * *"` creates a
    schedule with the name of the type and an empty payload. With `exclusive=True`, a job is stopped if the worker has
    lost its server for nearly a lease, so that it can't run twice at the same time. With `needs="admin"` (or "read")
    the API accepts such jobs only from keys with at least that role.

    `queue`, `priority`, `retention`, `expires_in`, `unique_key` and `unique_for` apply to jobs that are submitted
    without them; `unique_key` is a function of the payload: `unique_key=lambda payload: payload.customer`.
    """

    target = into if into is not None else registry
    declared = Declared(
        name,
        timeout,
        max_retries,
        backoff,
        permanent,
        rate_limit,
        burst,
        concurrency,
        exclusive,
        cron,
        timezone,
        needs,
        queue,
        priority,
        retention,
        expires_in,
        unique_key,
        unique_for,
    )
    given: Any = name
    if not isinstance(given, str | None):
        target.refuse([_not_a_name(given)])
        return lambda function: function

    def register(function: HandlerFunction) -> HandlerFunction:
        mistakes = declared.mistakes(function)
        if mistakes:
            target.refuse(mistakes)
            return function
        target.add(
            Handler(
                name=name or function.__name__,
                function=function,
                payload_type=payload_type(function),
                timeout=None if timeout is None else parse_duration(timeout),
                max_retries=max_retries,
                backoff=backoff if isinstance(backoff, Backoff) else Backoff(backoff),
                permanent=permanent,
                limit=make_limit(rate_limit, burst, concurrency),
                exclusive=exclusive,
                cron=None if cron is None else (cron, timezone),
                needs=needs,
                queue=queue,
                priority=priority,
                retention=None if retention is None else parse_duration(retention),
                expires_in=None if expires_in is None else parse_duration(expires_in),
                unique_key=unique_key,
                unique_for=None if unique_for is None else parse_duration(unique_for),
            )
        )
        return function

    return register


def _not_a_name(name: object) -> Mistake:
    if not callable(name):
        return Mistake("", 0, "", f"@handler({name!r}): the job type must be a string")
    found = declaration(name)
    return Mistake(found.file, found.line, f"{found.module}.{found.name}", "write @handler(), with parentheses")

"""Validates the arguments of `@handler`: all mistakes are reported together, at the declaration.

The worker, the API, the scheduler and `gopherctl check` load handlers in the same way, so each rejects the same.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gopher.base.durability import DURABILITIES
from gopher.base.durations import parse_duration
from gopher.base.names import KEY, QUEUE_NAME, TYPE_NAME
from gopher.base.priorities import PRIORITIES
from gopher.base.unique_modes import MODES, REPLACE
from gopher.config.key_kinds import ROLES
from gopher.errors import ConfigurationError

from .arguments import TaskFunction
from .backoff import backoff_of
from .conversion import decoder
from .declarations import declaration, underlying, wrong_kind
from .declared_schedules import mistakes_in_schedules
from .limit import make_limit
from .ranges import LONGEST_TIMEOUT, LONGEST_WAIT, MAX_TAGS, MOST_RETRIES


class Mistake(msgspec.Struct, frozen=True):
    """A mistake in a module of handlers. `line` is 0 and `handler` "" if it is not in a declaration."""

    file: str
    line: int
    handler: str
    message: str

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        return f"{self.handler}{place}: {self.message}" if self.handler else self.message


@dataclass(frozen=True)
class Declared:
    """The arguments of `@handler` or `@task`, as they were written, with their defaults."""

    name: Any
    timeout: Any = None
    max_retries: Any = None
    backoff: Any = "exponential"
    permanent: Any = ()
    retry_on: Any = None
    rate_limit: Any = None
    burst: Any = None
    concurrency: Any = None
    limit_per_key: Any = False
    exclusive: Any = False
    preemptible: Any = False
    cron: Any = None
    timezone: Any = "UTC"
    needs: Any = "submit"
    queue: Any = None
    priority: Any = None
    retention: Any = None
    expires_in: Any = None
    unique_key: Any = None
    unique_for: Any = None
    unique_mode: Any = None
    max_wait: Any = None
    tags: Any = ()
    durability: Any = None
    attach_result: Any = False

    def mistakes(self, function: Any) -> list[Mistake]:
        """Return the mistakes of this handler's function and options."""
        if not callable(function):
            return [Mistake("", 0, "", f"@handler() decorates a function, and {function!r} is not one")]
        found = declaration(function)
        return [
            Mistake(found.file, found.line, f"{found.module}.{found.name}", message)
            for check in _CHECKS
            for message in check(self, function)
        ]


def payload_type(function: Callable[..., Any]) -> Any:
    """Return the type that a handler's second argument is annotated with, or that of a task's arguments."""
    if isinstance(function, TaskFunction):
        return function.payload_type
    parameters = list(inspect.signature(function).parameters.values())
    annotation = typing.get_type_hints(underlying(function)).get(parameters[1].name, dict[str, Any])
    return dict[str, Any] if annotation is dict else annotation


def _check_function(declared: Declared, function: Any) -> Iterator[str]:
    wrong = wrong_kind(function)
    if wrong:
        yield wrong
        return
    if isinstance(function, TaskFunction):
        mistakes = [*function.mistakes()]
        yield from mistakes or _check_payload(function)
        return
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        yield "its parameters can't be inspected; wrap it in a function with two parameters"
        return
    if len(parameters) != 2 or any(each.kind not in _POSITIONAL for each in parameters):
        yield "a handler takes exactly two parameters, (job, payload)"
        return
    yield from _check_payload(function)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _check_payload(function: Any) -> Iterator[str]:
    try:
        decoder(payload_type(function))
    except NameError as error:
        yield f"the annotation of its payload can't be evaluated: {error}"
        return
    except (TypeError, ValueError) as error:
        yield f"the type of its payload can't be decoded from JSON: {error}"
        return


def _check_name(declared: Declared, function: Any) -> Iterator[str]:
    if declared.name is None:
        if getattr(function, "__name__", "<lambda>") == "<lambda>":
            yield 'has no usable name; give it one: @handler("name")'
            return
        name = function.__name__
    else:
        name = declared.name
    if not TYPE_NAME.fullmatch(name):
        remedy = '; give it another one: @task("name")' if isinstance(function, TaskFunction) else ""
        yield f"job type {name!r} must match {TYPE_NAME.pattern}{remedy}"


def _check_durations(declared: Declared, _function: Any) -> Iterator[str]:
    for name, longest, shown in _DURATIONS:
        value = getattr(declared, name)
        if value is None:
            continue
        try:
            seconds = parse_duration(value)
        except (ValueError, TypeError) as error:
            yield f"{name}={value!r:.60}: {error}"
            continue
        if not 0 < seconds <= longest and not (name == "retention" and seconds == 0):
            yield f"{name}={value!r:.60}: must be greater than 0 and at most {shown}"


_DURATIONS = (
    ("timeout", LONGEST_TIMEOUT, f"{LONGEST_TIMEOUT / 3600:g}h"),
    *(
        (name, LONGEST_WAIT, f"{LONGEST_WAIT / 86400:g} days")
        for name in ("retention", "expires_in", "unique_for", "max_wait")
    ),
)


def _check_queue(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.queue
    if value is not None and not (isinstance(value, str) and QUEUE_NAME.fullmatch(value)):
        yield f"queue={value!r:.60}: must match {QUEUE_NAME.pattern}"
    if declared.priority is not None and declared.priority not in PRIORITIES:
        yield f"priority={declared.priority!r:.60}: must be one of {', '.join(PRIORITIES)}"


def _check_durability(declared: Declared, _function: Any) -> Iterator[str]:
    if declared.durability is not None and declared.durability not in DURABILITIES:
        yield f"durability={declared.durability!r:.60}: must be one of {', '.join(DURABILITIES)}"


def _check_unique(declared: Declared, _function: Any) -> Iterator[str]:
    key, mode = declared.unique_key, declared.unique_mode
    if mode is not None and mode not in MODES:
        yield f"unique_mode={mode!r:.60}: must be one of {', '.join(MODES)}"
    if declared.max_wait is not None and mode != REPLACE:
        yield 'max_wait requires unique_mode="replace"'
    if key is None:
        if declared.unique_for is not None:
            yield "unique_for requires unique_key"
        return
    if not callable(key):
        yield f"unique_key={key!r:.60}: must be a function of the payload: unique_key=lambda payload: payload.customer"
        return
    try:
        inspect.signature(key).bind(None)
    except TypeError:
        yield "unique_key: the function must take one argument, the payload"
    except ValueError:
        return


def _check_tags(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.tags
    if isinstance(value, str) or not isinstance(value, Sequence):
        yield f"tags={value!r:.60}: must be a list of tags"
        return
    if len(value) > MAX_TAGS:
        yield f"tags: there are {len(value)}; the maximum is {MAX_TAGS}"
    for tag in value:
        if not (isinstance(tag, str) and KEY.fullmatch(tag)):
            yield f"tags: {tag!r:.60} must have 1 to 200 printable characters other than spaces and commas"


def _check_retries(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.max_retries
    if value is not None and not (_is_integer(value) and 0 <= value <= MOST_RETRIES):
        yield f"max_retries={value!r:.60}: must be a whole number from 0 to {MOST_RETRIES}"


def _check_backoff(declared: Declared, _function: Any) -> Iterator[str]:
    try:
        backoff_of(declared.backoff)
    except ConfigurationError as error:
        yield str(error)


def _check_exceptions(declared: Declared, _function: Any) -> Iterator[str]:
    for name, value in (("permanent", declared.permanent), ("retry_on", declared.retry_on or ())):
        if not isinstance(value, tuple):
            remedy = f": give a tuple, {name}=({value.__name__},)" if isinstance(value, type) else ""
            yield f"{name}={value!r:.60} is not a tuple of exception classes{remedy}"
            continue
        for each in value:
            if not (isinstance(each, type) and issubclass(each, BaseException)):
                yield f"{name}: {each!r:.60} is not an exception class"


def _check_limit(declared: Declared, _function: Any) -> Iterator[str]:
    if declared.concurrency is not None and not _is_integer(declared.concurrency):
        yield f"concurrency={declared.concurrency!r:.60}: must be a whole number"
        return
    if declared.rate_limit is not None and not isinstance(declared.rate_limit, str):
        yield f'rate_limit={declared.rate_limit!r:.60}: must be a string such as "10/s"'
        return
    if not isinstance(declared.limit_per_key, bool):
        yield f"limit_per_key={declared.limit_per_key!r:.60}: must be True or False"
        return
    try:
        limit = make_limit(declared.rate_limit, declared.burst, declared.concurrency)
    except (ValueError, TypeError) as error:
        yield str(error)
        return
    if limit is None and declared.limit_per_key:
        yield "limit_per_key: expected a rate_limit or a concurrency with it"


def _check_flags(declared: Declared, _function: Any) -> Iterator[str]:
    for name in ("exclusive", "preemptible", "attach_result"):
        value = getattr(declared, name)
        if not isinstance(value, bool):
            yield f"{name}={value!r:.60}: must be True or False"


def _check_cron(declared: Declared, function: Any) -> Iterator[str]:
    if not isinstance(declared.timezone, str):
        yield f"timezone={declared.timezone!r:.60}: must be a string"
        return
    if declared.cron is None and declared.timezone == "UTC":
        return
    name = declared.name or getattr(function, "__name__", "schedule")
    # Without a schedule, the timezone is checked with any.
    cron = "@hourly" if declared.cron is None else declared.cron
    payload = None if declared.cron is None else _decoder_of(function)
    yield from mistakes_in_schedules(cron, declared.timezone, name, payload)


def _decoder_of(function: Any) -> msgspec.json.Decoder[Any] | None:
    try:
        return decoder(payload_type(function))
    except Exception:  # noqa: BLE001 - whatever is wrong with the function is reported by its own check
        return None


def _check_needs(declared: Declared, _function: Any) -> Iterator[str]:
    if declared.needs not in ROLES:
        yield f"needs={declared.needs!r}: must be one of {', '.join(ROLES)}"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHECKS = (
    _check_function,
    _check_name,
    _check_durations,
    _check_queue,
    _check_durability,
    _check_unique,
    _check_tags,
    _check_retries,
    _check_backoff,
    _check_exceptions,
    _check_limit,
    _check_flags,
    _check_cron,
    _check_needs,
)

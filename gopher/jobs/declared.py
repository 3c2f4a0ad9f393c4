"""Validates the arguments of `@handler`: all mistakes are reported together, at the declaration.

The worker, the API, the scheduler and `gopherctl check` load handlers in the same way, so each rejects the same.
"""

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gopher.base.durations import parse_duration
from gopher.base.names import QUEUE_NAME, TYPE_NAME
from gopher.base.priorities import PRIORITIES
from gopher.config.kinds import ROLES
from gopher.errors import ConfigurationError, InvalidJob

from .backoff import Backoff
from .declarations import declaration, underlying, wrong_kind
from .decoding import explain
from .limit import make_limit
from .ranges import LONGEST_TIMEOUT, LONGEST_WAIT, MOST_RETRIES


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
    """The arguments of `@handler`, as they were written."""

    name: Any
    timeout: Any
    max_retries: Any
    backoff: Any
    permanent: Any
    rate_limit: Any
    burst: Any
    concurrency: Any
    exclusive: Any
    cron: Any
    timezone: Any
    needs: Any
    queue: Any = None
    priority: Any = None
    retention: Any = None
    expires_in: Any = None
    unique_key: Any = None
    unique_for: Any = None

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
    """Return the type that a handler's second argument is annotated with."""
    parameters = list(inspect.signature(function).parameters.values())
    annotation = typing.get_type_hints(underlying(function)).get(parameters[1].name, dict[str, Any])
    return dict[str, Any] if annotation is dict else annotation


def _check_function(declared: Declared, function: Any) -> Iterator[str]:
    wrong = wrong_kind(function)
    if wrong:
        yield wrong
        return
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        yield "its parameters can't be seen; wrap it in a function of two"
        return
    if len(parameters) != 2 or any(each.kind not in _POSITIONAL for each in parameters):
        yield "a handler takes exactly two parameters, (job, payload)"
        return
    yield from _check_payload(declared, function)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _check_payload(declared: Declared, function: Any) -> Iterator[str]:
    try:
        decoder = msgspec.json.Decoder(payload_type(function))
    except NameError as error:
        yield f"the annotation of its payload can't be read: {error}"
        return
    except (TypeError, ValueError) as error:
        yield f"the type of its payload can't be read from JSON: {error}"
        return
    if declared.cron is not None:
        try:
            decoder.decode(b"{}")
        except msgspec.ValidationError as error:
            yield f"cron={declared.cron!r}: a schedule's payload is {{}}, and its own needs more: {explain(error, '')}"


def _check_name(declared: Declared, function: Any) -> Iterator[str]:
    if declared.name is None:
        if getattr(function, "__name__", "<lambda>") == "<lambda>":
            yield 'has no usable name; give it one: @handler("name")'
            return
        name = function.__name__
    else:
        name = declared.name
    if not TYPE_NAME.fullmatch(name):
        yield f"job type {name!r} must match {TYPE_NAME.pattern}"


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
    *((name, LONGEST_WAIT, f"{LONGEST_WAIT / 86400:g} days") for name in ("retention", "expires_in", "unique_for")),
)


def _check_queue(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.queue
    if value is not None and not (isinstance(value, str) and QUEUE_NAME.fullmatch(value)):
        yield f"queue={value!r:.60}: must match {QUEUE_NAME.pattern}"
    if declared.priority is not None and declared.priority not in PRIORITIES:
        yield f"priority={declared.priority!r:.60}: must be one of {', '.join(PRIORITIES)}"


def _check_unique(declared: Declared, _function: Any) -> Iterator[str]:
    key = declared.unique_key
    if key is None:
        if declared.unique_for is not None:
            yield "unique_for goes with unique_key: give that too"
        return
    if not callable(key):
        yield f"unique_key={key!r:.60}: must be a function of the payload: unique_key=lambda payload: payload.customer"
        return
    try:
        inspect.signature(key).bind(None)
    except TypeError:
        yield "unique_key: its function must take the payload, and nothing else"
    except ValueError:
        return


def _check_retries(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.max_retries
    if value is not None and not (_is_integer(value) and 0 <= value <= MOST_RETRIES):
        yield f"max_retries={value!r:.60}: must be a whole number from 0 to {MOST_RETRIES}"


def _check_backoff(declared: Declared, _function: Any) -> Iterator[str]:
    if isinstance(declared.backoff, Backoff):
        return
    try:
        Backoff(declared.backoff)
    except ConfigurationError as error:
        yield str(error)


def _check_permanent(declared: Declared, _function: Any) -> Iterator[str]:
    value = declared.permanent
    if not isinstance(value, tuple):
        remedy = f": give a tuple, permanent=({value.__name__},)" if isinstance(value, type) else ""
        yield f"permanent={value!r:.60} is not a tuple of exception classes{remedy}"
        return
    for each in value:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            yield f"permanent: {each!r:.60} is not an exception class"


def _check_limit(declared: Declared, _function: Any) -> Iterator[str]:
    if declared.concurrency is not None and not _is_integer(declared.concurrency):
        yield f"concurrency={declared.concurrency!r:.60}: must be a whole number"
        return
    if declared.rate_limit is not None and not isinstance(declared.rate_limit, str):
        yield f'rate_limit={declared.rate_limit!r:.60}: must be a text such as "10/s"'
        return
    try:
        make_limit(declared.rate_limit, declared.burst, declared.concurrency)
    except (ValueError, TypeError) as error:
        yield str(error)


def _check_exclusive(declared: Declared, _function: Any) -> Iterator[str]:
    if not isinstance(declared.exclusive, bool):
        yield f"exclusive={declared.exclusive!r:.60}: must be True or False"


def _check_cron(declared: Declared, _function: Any) -> Iterator[str]:
    if declared.cron is None and declared.timezone == "UTC":
        return
    # What reads expressions takes some milliseconds to import.
    from .cron import CronExpression

    for name, expression, zone in (("cron", declared.cron, "UTC"), ("timezone", "@hourly", declared.timezone)):
        if expression is None:
            continue
        if not (isinstance(expression, str) and isinstance(zone, str)):
            yield f"{name}={getattr(declared, name)!r:.60}: must be a text"
            continue
        try:
            CronExpression(expression, zone)
        except InvalidJob as error:
            yield f"{name}: {error.details}"


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
    _check_unique,
    _check_retries,
    _check_backoff,
    _check_permanent,
    _check_limit,
    _check_exclusive,
    _check_cron,
    _check_needs,
)

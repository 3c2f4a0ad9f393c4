"""Logging: one line per event, for people (`console`) or for machines (`json`).

Lines about a job or a request have its fields: job_id, job_type, queue, attempt, worker, trace_id, request_id.
Payloads, results and secrets are never logged.
"""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import IO, Any

import structlog

from gopher.base.printable import printable
from gopher.config.settings import Settings

from .tracing import current_trace_id

Event = MutableMapping[str, Any]

#: In tracebacks for people, line breaks and tabs are kept.
_MULTILINE = ("exception", "stack")

#: This process's configuration, set by `configure`.
_level, _format = logging.INFO, "console"


def configure(settings: Settings) -> None:
    """Configure structlog and the standard library's logging for this process; lines go to stderr."""
    global _level, _format
    _level, _format = getattr(logging, settings.log_level.upper()), settings.log_format
    structlog.configure(
        processors=[*_shared(), *_rendering(sys.stderr)],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(_shared(), _rendering(sys.stderr)))
    logging.basicConfig(level=_level, handlers=[handler], force=True)


def debugging() -> bool:
    """Return whether debug messages are logged: checking is faster than having one discarded."""
    return _level <= logging.DEBUG


def get_logger(part: str) -> Any:
    """Return the logger of a part of Gopher, e.g. `get_logger("worker")`."""
    return structlog.get_logger(part=part)


def bind(**fields: Any) -> None:
    """Add fields to this thread's further lines, until `unbind()`."""
    structlog.contextvars.bind_contextvars(**fields)


def unbind(*names: str) -> None:
    """Undo `bind` for these fields; without names, for all fields, which is slower."""
    if names:
        structlog.contextvars.unbind_contextvars(*names)
    else:
        structlog.contextvars.clear_contextvars()


def configure_for_jobs(job_log: IO[str], process_log: IO[str], fields: Callable[[], dict[str, Any]]) -> None:
    """Configure logging in a process that runs handlers; `logging` and structlog both write to two places.

    To the job's log as plain lines, and to the process's log in its format, with the `fields` of the job.
    """

    def add_fields(_logger: Any, _method: str, event: Event) -> Event:
        return {**fields(), **event}

    # Fields bound by the parent process don't apply.
    unbind()
    ours = logging.StreamHandler(job_log)
    ours.setFormatter(_formatter([structlog.stdlib.add_logger_name, *_shared()[:2], _exceptions], [_plain_line]))
    theirs = _Quiet(process_log)
    theirs.setLevel(_level)
    theirs.setFormatter(_formatter([structlog.stdlib.add_logger_name, *_shared(), add_fields], _rendering(process_log)))
    logging.basicConfig(level=min(_level, logging.INFO), handlers=[ours, theirs], force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Quiet(logging.StreamHandler[IO[str]]):
    """A handler for a stream that may be closed by others: failing to log must not fail a job."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


_exceptions = structlog.processors.format_exc_info


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions,
    ]


def _rendering(stream: IO[str]) -> list[Any]:
    if _format == "json":
        return [structlog.processors.JSONRenderer(default=repr)]
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _formatter(before: list[Any], render: list[Any]) -> logging.Formatter:
    """Return a formatter of records of the standard library, and of structlog's that are passed through it."""
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    # Records from wrap_for_formatter have not been processed by `before`.
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=None, processors=[*before, remove, *render])


def _add_trace(_logger: Any, _method: str, event: Event) -> Event:
    if "trace_id" not in event and (trace_id := current_trace_id()):
        event["trace_id"] = trace_id
    return event


def _escape(_logger: Any, _method: str, event: Event) -> Event:
    return {name: _escaped(name, value) for name, value in event.items()}


def _escaped(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return printable(value, keep="\n\t" if name in _MULTILINE else "")


def _plain_line(_logger: Any, _method: str, event: Event) -> str:
    """Format as `WARNING shop.orders: no such order order=7`, followed by the traceback."""
    level, name, text = str(event.pop("level", "")).upper(), event.pop("logger", ""), event.pop("event", "")
    exception = event.pop("exception", "")
    more = "".join(f" {field}={value!r}" for field, value in event.items())
    return f"{level} {name}: {text}{more}" + (f"\n{exception}" if exception else "")

"""Logging: one line per event, for people (`console`) or for machines (`json`).

Processes of Gopher configure structlog and the root logger (`configure`), unless GOPHER_LOGGING is off. Then, as in
programs that use a client, lines go to the standard library's loggers `gopher.<part>`, or to the program's structlog.

Lines about a job or a request have its fields: job_id, job_type, queue, attempt, worker, trace_id, request_id.
Payloads, results and secrets are never logged.
"""

import atexit
import json
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import IO, Any, TextIO, cast

import structlog

from gopher.base.printable import printable, printable_json
from gopher.base.terminal import shows_colours
from gopher.config.settings import Settings

from .loggers import NAME, as_text, get_logger
from .tracing import current_trace_id

__all__ = ["bind", "configure", "configure_for_jobs", "debugging", "get_logger", "unbind"]

Event = MutableMapping[str, Any]

_exceptions = structlog.processors.format_exc_info

#: In tracebacks for people, line breaks and tabs are kept.
_MULTILINE = ("exception", "stack")

#: This process's configuration, set by `configure`.
_level, _format = logging.INFO, "console"
_is_ours = False


def configure(settings: Settings) -> None:
    """Configure structlog and the standard library's logging for this process; lines go to stderr."""
    global _level, _format, _is_ours
    level = getattr(logging, settings.log_level.upper())
    _level, _format, _is_ours = level, settings.log_format, settings.logging == "on"
    if not _is_ours:
        return
    own = _Stderr()
    stderr = cast("TextIO", own)
    structlog.configure(
        processors=[*_shared(), *_rendering(stderr)],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=structlog.WriteLoggerFactory(stderr),
        cache_logger_on_first_use=True,
    )
    atexit.register(own.end)
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_formatter(_shared(), _rendering(stderr)))
    logging.basicConfig(level=_level, handlers=[handler], force=True)


class _Stderr:
    """The standard error of this process. Its reader may leave, and its disk may be full: no process stops for that."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def end(self) -> None:
        """Drop what could not be written: Python would exit with 120 because of it."""
        try:
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def isatty(self) -> bool:
        return sys.stderr is not None and sys.stderr.isatty()


def debugging() -> bool:
    """Return whether debug messages are logged: checking is faster than having one discarded."""
    return _level <= logging.DEBUG if _is_ours else logging.getLogger(NAME).isEnabledFor(logging.DEBUG)


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
    if not _is_ours:
        _add_to_theirs(ours, process_log)
        return
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


def _add_to_theirs(ours: logging.Handler, process_log: IO[str]) -> None:
    """Add a handler to those of a program's own configuration, whose lines for the console go to the process's log.

    The console itself is the job's output from now on.
    """
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and _is_console(handler.stream):
            handler.setStream(process_log)
    logging.root.addHandler(ours)


def _is_console(stream: Any) -> bool:
    try:
        return stream.fileno() in (1, 2)
    except (AttributeError, OSError, ValueError):
        return False


class _Quiet(logging.StreamHandler[IO[str]]):
    """A handler for a stream that may be closed by others: failing to log must not fail a job."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


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
        return [structlog.processors.JSONRenderer(serializer=_serialized, default=repr)]
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            0, colors=shows_colours(stream), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _serialized(event: Event, **options: Any) -> str:
    # In ASCII, all of which is harmless but DEL.
    return printable_json(json.dumps(event, **options))


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
    level, name = str(event.pop("level", "")).upper(), event.pop("logger", "")
    return f"{level} {name}: {as_text(_logger, _method, event)}"

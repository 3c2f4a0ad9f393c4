"""The loggers of Gopher's parts. structlog is imported with the first line: a program that submits jobs writes none."""

import logging
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

#: Of the standard library's loggers of Gopher.
NAME = "gopher"


class Logger:
    """The logger of a part: structlog's once that is configured, by Gopher or by a program, and before the standard
    library's."""

    def __init__(self, part: str) -> None:
        self._part = part

    @cached_property
    def _configured(self) -> Any:
        import structlog

        return structlog.get_logger(part=self._part)

    @cached_property
    def _plain(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            logging.getLogger(f"{NAME}.{self._part}"),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                as_text,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Asked for by what copies or inspects it, also before it has its part.
            raise AttributeError(name)
        import structlog

        return getattr(self._configured if structlog.is_configured() else self._plain, name)


def get_logger(part: str) -> Any:
    """Return the logger of a part of Gopher, e.g. `get_logger("worker")`."""
    return Logger(part)


def as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Format as `no such order order=7`, followed by the traceback."""
    text, exception = event.pop("event", ""), event.pop("exception", "")
    more = "".join(f" {field}={value!r}" for field, value in event.items())
    return f"{text}{more}" + (f"\n{exception}" if exception else "")

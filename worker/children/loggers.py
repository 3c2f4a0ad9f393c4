"""The standard library's loggers: what one job sets on them, the next one does not find.

Loggers that a job has made stay, as libraries keep theirs, with the settings of new ones. The handlers that do nothing,
which libraries add to theirs, stay as well.
"""

import logging
from typing import Any, NamedTuple

_manager = logging.root.manager


class _Setting(NamedTuple):
    level: int
    propagate: bool
    disabled: bool
    handlers: list[logging.Handler]
    filters: list[Any]


_NEW = _Setting(logging.NOTSET, True, False, [], [])


class Loggers:
    """Every logger, and the handlers of the root, as they are when this is made."""

    def __init__(self) -> None:
        self._settings = {logger: _setting(logger) for logger in _all()}
        handlers = {handler for setting in self._settings.values() for handler in setting.handlers}
        self._handlers = [(handler, {**vars(handler), "filters": handler.filters[:]}) for handler in handlers]

    def restore(self) -> None:
        for logger in _all():
            known = self._settings.get(logger)
            if _setting(logger) != (known or _NEW):
                _put(logger, known)
        for handler, attributes in self._handlers:
            if vars(handler) != attributes:
                vars(handler).clear()
                vars(handler).update(attributes, filters=attributes["filters"][:])
        # Without this a logger goes by the level that it had before.
        logging.root.setLevel(logging.root.level)


def _all() -> list[logging.Logger]:
    return [logging.root, *(each for each in _manager.loggerDict.values() if isinstance(each, logging.Logger))]


def _setting(logger: logging.Logger) -> _Setting:
    return _Setting(logger.level, logger.propagate, logger.disabled, logger.handlers[:], logger.filters[:])


def _put(logger: logging.Logger, known: _Setting | None) -> None:
    setting = known or _NEW
    logger.level, logger.propagate, logger.disabled = setting.level, setting.propagate, setting.disabled
    quiet = [] if known else [each for each in logger.handlers if isinstance(each, logging.NullHandler)]
    logger.handlers[:] = [*setting.handlers, *quiet]
    logger.filters[:] = setting.filters

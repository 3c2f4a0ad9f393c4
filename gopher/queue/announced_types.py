"""The job types of a client that has no registry: what their handlers declare, as workers announce it."""

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from gopher.base.salvage import UNREADABLE, text
from gopher.errors import ServerError
from gopher.jobs.registry import Registry, registry
from gopher.server.calls import Command
from gopher.server.errors import explained

from .announcing import JobOptions

if TYPE_CHECKING:
    from gopher.jobs.handler_options import UniqueKey
    from gopher.jobs.handlers import Handler

    from .store import Server

#: Seconds for which announced options are used until they are read again, and until another attempt.
READ_EVERY, _RETRY = 30.0, 1.0

_decode = msgspec.json.Decoder(JobOptions).decode


class AnnouncedTypes(Registry):
    """Handlers that this process has imported, then those that workers announce. Any type may be submitted."""

    checks = False

    def __init__(self, server: "Server") -> None:
        super().__init__()
        self._server = server
        self._announced: dict[str, Handler] = {}
        #: When to read again (monotonic s).
        self._read_at = 0.0

    def get(self, name: str) -> "Handler | None":
        handler = registry.get(name)
        if handler is not None:
            return handler
        if time.monotonic() >= self._read_at:
            self._read()
        return self._announced.get(name)

    def _read(self) -> None:
        self._read_at = time.monotonic() + _RETRY
        # A failure is no reason to reject a job; storing it may fail for the same cause.
        with suppress(ServerError), explained():
            # Not by redis-py's client, which most programs that submit jobs need for nothing else.
            key = self._server.keys.types
            (found,) = self._server.run_all([Command(key, ("HGETALL", key))], patience=0.0)
            announced: dict[str, Handler] = {}
            for name, options in zip(found[::2], found[1::2], strict=True):
                with suppress(*UNREADABLE):
                    announced[text(name)] = _handler(text(name), _decode(options))
            self._announced = announced
            self._read_at = time.monotonic() + READ_EVERY


def _handler(name: str, options: JobOptions) -> "Handler":
    # Where no worker announces any, programs that submit jobs do not need it.
    from gopher.jobs.handlers import Handler

    declared = {field: getattr(options, field) for field in options.__struct_fields__ if field != "unique_key"}
    unique_key = _not_here(name) if options.unique_key else None
    return Handler(name, _runs_elsewhere, payload_type=Any, unique_key=unique_key, **declared)


def _runs_elsewhere(_job: object, _payload: object) -> NoReturn:
    raise NotImplementedError


def _not_here(name: str) -> "UniqueKey":
    """Return a function in place of the handler's own, which only its module has. It warns once."""
    warned: list[bool] = []

    def no_key(_payload: object) -> None:
        if not warned:
            warned.append(True)
            logging.getLogger("gopher").warning(
                "jobs of the type %s are stored without the unique key that its handler computes: import its module in "
                "this process, or submit them with unique_key",
                name,
            )

    return no_key

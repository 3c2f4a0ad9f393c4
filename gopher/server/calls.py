"""Calls of scripts and plain commands, each a value that can parse its reply."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec


class Sendable(Protocol):
    """A `Call` or a plain `Command`."""

    @property
    def key(self) -> str: ...
    @property
    def verb(self) -> str: ...
    def command(self) -> tuple[Any, ...]: ...
    def whole_command(self) -> tuple[Any, ...]: ...
    def read(self, reply: Any, /) -> Any: ...


class Script(msgspec.Struct, frozen=True):
    """A script: its complete source, and the SHA-1 for EVALSHA."""

    name: str
    source: str
    sha: str


class Call(NamedTuple):
    """A call of a script: what to send, and how to parse the reply.

    Arguments are text or bytes: with numbers, hiredis crashes the process if a signal handler raises during packing, as
    a soft timeout does.
    """

    script: Script
    key: str
    arguments: tuple[Any, ...]
    read: Callable[[Any], Any]

    @property
    def verb(self) -> str:
        return self.script.name

    def command(self) -> tuple[Any, ...]:
        return ("EVALSHA", self.script.sha, "1", self.key, *self.arguments)

    def whole_command(self) -> tuple[Any, ...]:
        """Return the command with the script's source, for a server that has not cached it."""
        return ("EVAL", self.script.source, "1", self.key, *self.arguments)


class LateCall(Call):
    """A call with functions as arguments, which are evaluated each time it is sent, since it may have waited."""

    def command(self) -> tuple[Any, ...]:
        return self._asked().command()

    def whole_command(self) -> tuple[Any, ...]:
        return self._asked().whole_command()

    def _asked(self) -> Call:
        return Call(self.script, self.key, tuple(written(_asked(each)) for each in self.arguments), self.read)


class CountedCall(Call):
    """A call that counts how often it was sent: again if its reply was lost."""

    times_sent = 0

    def command(self) -> tuple[Any, ...]:
        self.times_sent += 1
        return super().command()


class TimedCall(Call):
    """A call that notes when it was sent last (monotonic s)."""

    sent_at = 0.0

    def command(self) -> tuple[Any, ...]:
        self.sent_at = time.monotonic()
        return super().command()


class Command(NamedTuple):
    """A plain command, sent like a `Call`."""

    key: str
    words: tuple[Any, ...]

    @property
    def verb(self) -> str:
        return str(self.words[0])

    def command(self) -> tuple[Any, ...]:
        return self.words

    def whole_command(self) -> tuple[Any, ...]:
        return self.words

    def read(self, reply: Any) -> Any:
        return reply


def _asked(argument: Any) -> Any:
    return argument() if callable(argument) else argument


def written(argument: Any) -> Any:
    return argument if isinstance(argument, str | bytes) or callable(argument) else str(argument)

"""Sends calls and reads replies on a connection."""

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command

from gopher.compat import next_reply

from . import crashpoints
from .calls import Command, Sendable
from .errors import CONNECTION_ERRORS
from .redis_py import AbstractConnection, exceptions


class LostReply(Exception):
    """Raised for a call that was sent and has no reply; `cause` is the reason."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


def exchange(connection: AbstractConnection, calls: Sequence[Sendable]) -> list[Any]:
    """Send calls once and read their replies; return the parsed reply or error of each."""
    replies: list[Any] = []
    try:
        send_calls(connection, calls)
        for _ in calls:
            replies.append(read_reply(connection))  # noqa: PERF401 - those that came before an error are kept
        missing = missing_scripts(replies, calls)
        if missing:
            for index, reply in zip(missing, send_whole(connection, [calls[i] for i in missing]), strict=True):
                replies[index] = reply
    except CONNECTION_ERRORS as error:
        connection.disconnect()
        replies = with_lost(replies, len(calls), _cause(connection, error))
    except BaseException:
        # An interrupt: replies may still be in flight, and must not be read as those of the next call.
        connection.disconnect()
        raise
    else:
        if crashpoints.armed:
            crashpoints.reached_by((call.verb for call in calls), "after_reply")
    return outcomes(calls, replies)


def missing_scripts(replies: Sequence[Any], calls: Sequence[Sendable]) -> list[int]:
    """Return the indexes of the calls that have to be sent again with their scripts' sources."""
    missing = [index for index, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
    # Plain commands that follow a script, such as WAIT, have to follow it again.
    return missing and missing + [at for at in range(missing[0], len(calls)) if isinstance(calls[at], Command)]


def with_lost(replies: Sequence[Any], count: int, cause: Exception) -> list[Any]:
    """Return a reply for each of the calls, `LostReply` for those without one. Replies read so far are valid.

    Each is a new exception, since they may be raised in different threads.
    """
    padded = [*replies, *[exceptions.NoScriptError()] * (count - len(replies))]
    return [LostReply(cause) if isinstance(reply, exceptions.NoScriptError) else reply for reply in padded]


def outcomes(calls: Sequence[Sendable], replies: Sequence[Any]) -> list[Any]:
    """Return the parsed reply or the error of each call."""
    return [
        reply if isinstance(reply, Exception) else call.read(reply) for call, reply in zip(calls, replies, strict=True)
    ]


def _cause(connection: AbstractConnection, error: Exception) -> Exception:
    """Convert an error of a connection: redis-py does not handle the kernel's timeouts (see IdleConnections)."""
    if isinstance(error.__context__, BlockingIOError):
        return exceptions.TimeoutError("no reply in time")
    explained = getattr(connection, "explained", None)
    return explained(error) if explained else error


def send_calls(connection: AbstractConnection, calls: Sequence[Sendable]) -> None:
    """Send calls by the SHA-1 of their scripts, without reading replies."""
    if crashpoints.armed:
        crashpoints.reached_by((call.verb for call in calls), "before_send")
    _send(connection, [call.command() for call in calls])
    if crashpoints.armed:
        crashpoints.reached_by((call.verb for call in calls), "after_send")


def _send(connection: AbstractConnection, commands: Sequence[tuple[Any, ...]]) -> None:
    # redis-py's own packing checks every argument before it calls the same function, at five times the cost.
    connection.send_packed_command([b"".join(map(pack_command, commands))], check_health=False)


def read_reply(connection: AbstractConnection) -> Any:
    """Return the next reply; an error reply is returned, not raised."""
    try:
        return next_reply(connection)
    except (exceptions.BusyLoadingError, exceptions.AuthenticationError, ValueError) as error:
        return as_error_reply(error)


def as_error_reply(error: Exception) -> Exception:
    """Return the error reply that redis-py's parser has made an error of."""
    # To redis-py the first two are ConnectionErrors, but the connection is sound and the reply was read.
    if isinstance(error, exceptions.BusyLoadingError):
        return exceptions.ResponseError(f"LOADING {error}")
    if isinstance(error, exceptions.AuthenticationError):
        word = "NOAUTH" if "required" in str(error) else "WRONGPASS"
        return exceptions.ResponseError(f"{word} {error}")
    if isinstance(error, ValueError):
        # redis-py fails to parse MOVED and ASK without a target. The reply itself was read.
        return exceptions.ResponseError(f"MOVED without a target: {error}")
    return error


def has_more(connection: AbstractConnection) -> bool:
    """Return whether bytes of another reply have already been received."""
    # redis-py's reader holds what came along with the reply before.
    return connection.can_read(0)


def send_whole(connection: AbstractConnection, calls: Sequence[Sendable]) -> list[Any]:
    """Send calls with their scripts' sources: the server was restarted, or its scripts were flushed."""
    _send(connection, [call.whole_command() for call in calls])
    return [read_reply(connection) for _ in calls]


def read_as(call: Sendable, reply: Any) -> Any:
    """Return the parsed reply or the error. A reply that can't be parsed counts as an error."""
    if isinstance(reply, Exception):
        return reply
    try:
        return call.read(reply)
    except Exception as error:  # noqa: BLE001 - whatever a proxy or a corrupt record has made of it: the loop continues
        return exceptions.ResponseError(f"can't parse the reply to {call.verb}: {error!r}")

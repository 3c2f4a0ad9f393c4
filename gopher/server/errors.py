"""Interprets the server's error replies.

An error reply is never a final result. The server, or something in front of it (a proxy, a provider's quota), reports
that it did not execute a call, or leaves open whether it did; so calls that must not get lost are sent again, which is
safe with every script. Only a script's own result (OK, ALREADY, STALE, MISSING) is final. Unknown error codes are
handled the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from gopher.base.patterns import regex
from gopher.errors import (
    ConfigurationError,
    GopherError,
    OutcomeUnknown,
    QueueBusy,
    QueueFull,
    QueueUnavailable,
    ServerError,
    StorageFull,
)

from .redis_py import exceptions

#: Errors of a connection. InvalidResponse: the bytes are not a valid reply, so nothing after them can be trusted.
CONNECTION_ERRORS = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.InvalidResponse, OSError)
#: All exceptions of redis-py.
ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, OSError)


class Meaning(NamedTuple):
    """The meaning of an error code."""

    error: type[GopherError]
    text: str
    #: Whether the server rejects everything for a while, so that the connection can pause.
    of_server: bool = False
    #: Whether another server may be responsible, so that locations have to be refreshed.
    elsewhere: bool = False


#: Advice if evicting records of finished jobs was not enough.
_ROOM = "raise maxmemory, delete dead letters or let waiting jobs run"
_MEANINGS: dict[str, Meaning] = {
    "OOM": Meaning(QueueFull, f"the server is out of memory: {_ROOM}"),
    "MISCONF": Meaning(StorageFull, "the server can't write to its disk", of_server=True),
    "BUSY": Meaning(QueueBusy, "the server is busy with a long script", of_server=True),
    "LOADING": Meaning(QueueUnavailable, "the server is starting and loading its data", of_server=True),
    "READONLY": Meaning(QueueUnavailable, "the server is a replica now", of_server=True, elsewhere=True),
    "MASTERDOWN": Meaning(QueueUnavailable, "the server is a replica without its master", True, True),
    "NOREPLICAS": Meaning(QueueUnavailable, "the server has too few replicas to accept writes", True, True),
    "CLUSTERDOWN": Meaning(QueueUnavailable, "the cluster is down", of_server=True, elsewhere=True),
    "MOVED": Meaning(QueueUnavailable, "the queue has moved to another node", of_server=True, elsewhere=True),
    "ASK": Meaning(QueueUnavailable, "the queue is moving to another node", of_server=True, elsewhere=True),
    "TRYAGAIN": Meaning(QueueUnavailable, "the queue is moving to another node", of_server=True),
    "CLIENTS": Meaning(QueueUnavailable, "the server has reached its maximum number of connections", of_server=True),
    "NOAUTH": Meaning(ConfigurationError, "the server requires a password: set REDIS_PASSWORD"),
    "WRONGPASS": Meaning(ConfigurationError, "the server rejected the user name or password"),
    # Of "DB index is out of range", and "SELECT is not allowed in cluster mode".
    "DB": Meaning(ConfigurationError, "the server has no such database: check REDIS_URL and REDIS_DB"),
    "SELECT": Meaning(ConfigurationError, "a cluster has database 0 only: check REDIS_URL and REDIS_DB"),
    # Of "This instance has cluster support disabled".
    "This": Meaning(ConfigurationError, "the server is not a cluster: use a URL without +cluster"),
    "NOPERM": Meaning(ConfigurationError, "the server's ACL does not permit the command"),
}
_UNKNOWN = Meaning(QueueUnavailable, "the server rejected the call")
#: redis-py has a class for each of these, whose message lacks the code.
_WORD_OF_CLASS: dict[type[Exception], str] = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "ASK",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.AuthenticationError: "WRONGPASS",
}
# Redis 6.2 replies "ERR Error running script (...): @user_script:9: -OOM command not allowed ...".
_INSIDE_A_SCRIPT = regex(r"@user_script: ?\d+: -?([A-Z]+)\b")


#: What a server says that has too many clients; and what redis-py says of a connection that is told so before it asks.
_TOO_MANY_CLIENTS = regex(r"\bmax number of clients\b|^Connection not ready$")


def word_of(error: Any) -> str:
    """Return the code of an error reply, including those that Redis 6.2 wraps in another error."""
    word = _WORD_OF_CLASS.get(type(error))
    if word is not None:
        return "NOAUTH" if word == "WRONGPASS" and "required" in str(error) else word
    text = str(error)
    if _TOO_MANY_CLIENTS.search(text):
        return "CLIENTS"
    inner = _INSIDE_A_SCRIPT.search(text)
    return inner[1] if inner else text.partition(" ")[0]


def is_known(error: Any) -> bool:
    """Return whether an error code is known, which means that nothing was executed."""
    return word_of(error) in _MEANINGS


def is_of_server(reply: Any) -> bool:
    """Return whether an error means that the server as a whole is unavailable."""
    return isinstance(reply, exceptions.ResponseError) and _meaning(reply).of_server


def is_elsewhere(reply: Any) -> bool:
    """Return whether an error means that locations have to be refreshed, after a failover or the move of a slot."""
    return isinstance(reply, exceptions.ResponseError) and _meaning(reply).elsewhere


def is_unavailable(error: object) -> bool:
    """Return whether an error of redis-py or of a call means that a server is unavailable, so that nothing was read.

    What proxies and managed servers reply in words of their own means so, too.
    """
    if isinstance(error, exceptions.ResponseError):
        return is_of_server(error) or not (is_known(error) or blames_data(error))
    return isinstance(error, (*CONNECTION_ERRORS, exceptions.RedisClusterException, QueueUnavailable, OutcomeUnknown))


def is_not_permitted(error: Exception) -> bool:
    """Return whether an error may mean that the server does not permit a command at all.

    Managed servers say so in words of their own, so this is only for commands that Gopher can do without.
    """
    return isinstance(error, exceptions.ResponseError) and word_of(error) not in _MEANINGS.keys() - {"NOPERM"}


def blames_data(error: Exception) -> bool:
    """Return whether a script failed because of its data, such as a corrupt record. Other calls may succeed."""
    return word_of(error) == "WRONGTYPE" or ("user_script" in str(error) and not is_known(error))


def translated(error: Exception) -> GopherError:
    """Convert an error of redis-py."""
    meaning = _meaning(error)
    if isinstance(error, CONNECTION_ERRORS) and not is_known(error):
        return QueueUnavailable("the server is unreachable", error)
    if issubclass(meaning.error, ServerError):
        return meaning.error(meaning.text, error)
    return meaning.error(f"{meaning.text} ({error})")


def refusal(error: Exception) -> GopherError:
    """Convert an error reply to a script, which may or may not have been executed.

    A proxy that has lost its server can't know, either; a script that failed was executed partly.
    """
    if is_known(error):
        return translated(error)
    return OutcomeUnknown("the server rejected the call: it may or may not have been executed", error)


def given_up(problem: Exception, sent: bool) -> GopherError:
    """Return the error for a call whose retries failed; `sent` if it may have reached the server."""
    error = translated(problem)
    if sent and isinstance(error, QueueUnavailable):
        text = "the reply was lost and the server is unavailable: the call may have been executed"
        return OutcomeUnknown(text, problem)
    return error


@contextmanager
def explained() -> Iterator[None]:
    """Convert redis-py's errors."""
    try:
        yield
    except ERRORS as error:
        raise translated(error) from error


def _meaning(error: Any) -> Meaning:
    return _MEANINGS.get(word_of(error), _UNKNOWN)

"""What the server's error replies mean: the one place that knows their words.

An error reply is never an answer to what was asked. The server, or something before it (a proxy, a provider's quota),
says that it did not do it, or does not say whether it did; so what must not get lost is sent again, which is harmless
with every script. Only what a script itself answers (OK, ALREADY, STALE, MISSING) is final. A word that is not known
here changes none of that: it only tells less.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis import exceptions

from gopher.errors import (
    ConfigurationError,
    GopherError,
    OutcomeUnknown,
    QueueBusy,
    QueueFull,
    QueueUnavailable,
    StorageFull,
)

#: Errors of a connection. InvalidResponse: what came is no reply at all, so nothing that follows can be trusted.
CONNECTION_ERRORS = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.InvalidResponse, OSError)
#: All that redis-py raises.
ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, OSError)


class Meaning(NamedTuple):
    """What a word at the beginning of an error reply means."""

    error: type[GopherError]
    text: str
    #: Whether the server refuses everything for a while, so that the connection may as well rest.
    of_server: bool = False
    #: Whether another server may be the right one: where things are has to be looked up again.
    elsewhere: bool = False


#: What helps where records of finished jobs could not make room.
_ROOM = "raise maxmemory, delete dead letters or let waiting jobs run"
_MEANINGS: dict[str, Meaning] = {
    "OOM": Meaning(QueueFull, f"the server is out of memory: {_ROOM}"),
    "MISCONF": Meaning(StorageFull, "the server can't write to its disk", of_server=True),
    "BUSY": Meaning(QueueBusy, "the server is busy with a long script", of_server=True),
    "LOADING": Meaning(QueueUnavailable, "the server is starting: it loads its data", of_server=True),
    "READONLY": Meaning(QueueUnavailable, "the server is a replica now", of_server=True, elsewhere=True),
    "MASTERDOWN": Meaning(QueueUnavailable, "the server is a replica without its master", True, True),
    "NOREPLICAS": Meaning(QueueUnavailable, "the server has too few replicas to accept writes", True, True),
    "CLUSTERDOWN": Meaning(QueueUnavailable, "the cluster is down", of_server=True, elsewhere=True),
    "MOVED": Meaning(QueueUnavailable, "the queue has moved to another node", of_server=True, elsewhere=True),
    "ASK": Meaning(QueueUnavailable, "the queue is moving to another node", of_server=True, elsewhere=True),
    "TRYAGAIN": Meaning(QueueUnavailable, "the queue is moving to another node", of_server=True),
    "NOAUTH": Meaning(ConfigurationError, "the server wants a password: set REDIS_PASSWORD"),
    "WRONGPASS": Meaning(ConfigurationError, "the server refuses the user name or password"),
    "NOPERM": Meaning(ConfigurationError, "the server's ACL does not permit it"),
}
_UNKNOWN = Meaning(QueueUnavailable, "the server refused the call")
#: redis-py has a class for each of these, whose text comes without the word.
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
# Redis 6.2 answers "ERR Error running script (...): @user_script:9: -OOM command not allowed ...".
_INSIDE_A_SCRIPT = re.compile(r"@user_script: ?\d+: -?([A-Z]+)\b")


def word_of(error: Any) -> str:
    """Return the word that an error reply begins with, also where Redis 6.2 has put it inside another one."""
    word = _WORD_OF_CLASS.get(type(error))
    if word is not None:
        return word
    text = str(error)
    inner = _INSIDE_A_SCRIPT.search(text)
    return inner[1] if inner else text.partition(" ")[0]


def is_known(error: Any) -> bool:
    """Return whether it is known what an error reply says, and so that nothing was done."""
    return word_of(error) in _MEANINGS


def is_of_server(reply: Any) -> bool:
    """Return whether a reply says that the server as a whole can't serve now."""
    return isinstance(reply, exceptions.ResponseError) and _meaning(reply).of_server


def is_elsewhere(reply: Any) -> bool:
    """Return whether a reply says that where things are has to be looked up again: another server may be the right
    one, after a failover or since a slot has moved."""
    return isinstance(reply, exceptions.ResponseError) and _meaning(reply).elsewhere


def blames_data(error: Exception) -> bool:
    """Return whether a script has failed on what it found: a record that is corrupt, say. Others may be all right."""
    return word_of(error) == "WRONGTYPE" or ("user_script" in str(error) and not is_known(error))


def translated(error: Exception) -> GopherError:
    """Return our own error for one of redis-py's."""
    meaning = _meaning(error)
    if isinstance(error, CONNECTION_ERRORS) and not is_known(error):
        return QueueUnavailable(f"the server is not reached ({error})")
    return meaning.error(f"{meaning.text} ({error})")


def refusal(error: Exception) -> GopherError:
    """Return our own error for an error reply to a script, of which it may not be known whether it was done.

    A proxy that has lost its server does not know either; a script that failed has done a part.
    """
    if is_known(error):
        return translated(error)
    return OutcomeUnknown(f"the server refused the call ({error}): whether it was done is not known")


def given_up(problem: Exception, sent: bool) -> GopherError:
    """Return our own error for a call that was repeated in vain; `sent` when it may have reached the server."""
    error = translated(problem)
    if sent and isinstance(error, QueueUnavailable):
        return OutcomeUnknown("the reply was lost and the server stays away: whether it was done is not known")
    return error


@contextmanager
def explained() -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except ERRORS as error:
        raise translated(error) from error


def _meaning(error: Any) -> Meaning:
    return _MEANINGS.get(word_of(error), _UNKNOWN)

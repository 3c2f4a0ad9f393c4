"""Every error reply is classified in one place: by its word, also inside the form of Redis 6.2, or as unknown."""

import hiredis
import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from gopher.errors import ConfigurationError, OutcomeUnknown, QueueBusy, QueueFull, QueueUnavailable, StorageFull
from gopher.server.errors import (
    blames_data,
    explained,
    is_elsewhere,
    is_known,
    is_not_permitted,
    is_of_server,
    refusal,
    translated,
    word_of,
)

ELSEWHERE = {"READONLY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "MOVED", "ASK"}
#: Error replies as they come, their words, and what is raised to a caller.
KNOWN = {
    "OOM command not allowed when used memory > 'maxmemory'.": ("OOM", QueueFull),
    "MISCONF Errors writing to the AOF file: No space left on device": ("MISCONF", StorageFull),
    "BUSY Redis is busy running a script.": ("BUSY", QueueBusy),
    "LOADING Redis is loading the dataset in memory": ("LOADING", QueueUnavailable),
    "READONLY You can't write against a read only replica.": ("READONLY", QueueUnavailable),
    "READONLY": ("READONLY", QueueUnavailable),
    "MASTERDOWN Pipeline with MASTER is down": ("MASTERDOWN", QueueUnavailable),
    "NOREPLICAS Not enough good replicas to write.": ("NOREPLICAS", QueueUnavailable),
    "CLUSTERDOWN The cluster is down": ("CLUSTERDOWN", QueueUnavailable),
    "MOVED 866 127.0.0.1:7001": ("MOVED", QueueUnavailable),
    "ASK 866 127.0.0.1:7001": ("ASK", QueueUnavailable),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("TRYAGAIN", QueueUnavailable),
    "NOPERM this user has no permissions to run the 'evalsha' command": ("NOPERM", ConfigurationError),
    "WRONGPASS invalid username-password pair": ("WRONGPASS", ConfigurationError),
}
UNKNOWN = [
    "ERR max requests limit exceeded. Limit: 10000",
    "ERR upstream failure",
    "ERR quota",
    "WEIRD thing",
    "BUSYKEY Target key name already exists.",
    "",
    " ",
    "\N{SNOWMAN} odd",
]


def received(text: str) -> Exception:
    """Return an error as redis-py makes it of the bytes of a reply."""
    reader = hiredis.Reader(replyError=BaseParser.parse_error)
    reader.feed(f"-{text}\r\n".encode())
    return reader.gets()


def inside_a_script(text: str) -> Exception:
    """Return an error as Redis 6.2 says it when a script's command was refused."""
    return received(f"ERR Error running script (call to f_8c0): @user_script:7: @user_script: 7: -{text}")


@pytest.mark.parametrize("text", KNOWN)
def test_a_known_error_is_explained_also_in_the_form_of_redis_6_2(text):
    word, kind = KNOWN[text]
    for error in (received(text), inside_a_script(text)):
        assert (word_of(error), type(translated(error)), type(refusal(error))) == (word, kind, kind)
        if isinstance(error, exceptions.ResponseError):
            assert is_elsewhere(error) == (word in ELSEWHERE)
        assert not blames_data(error)


def test_only_what_the_server_refuses_as_a_whole_has_its_connection_rest():
    whole = {word for text, (word, _) in KNOWN.items() if is_of_server(inside_a_script(text))}
    assert whole == ELSEWHERE | {"MISCONF", "BUSY", "LOADING", "TRYAGAIN"}
    assert not is_of_server([b"OK"])
    assert not is_of_server(exceptions.ConnectionError("READONLY"))


@pytest.mark.parametrize("text", UNKNOWN)
def test_after_an_unknown_word_it_is_open_whether_the_call_was_done(text):
    error = received(text)
    assert not any(classify(error) for classify in (is_known, is_of_server, is_elsewhere, blames_data))
    assert type(translated(error)) is QueueUnavailable
    assert type(refusal(error)) is OutcomeUnknown


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value script: 8c0, on @user_script:10.",
        "ERR user_script:7: attempt to compare nil with number script: 8c0, on @user_script:7.",
        "ERR Error running script (call to f_8c0): @user_script:7: WRONGTYPE Operation against a key",
        "ERR Error running script (call to f_8c0): @user_script:7: user_script:7: attempt to compare nil with number",
    ],
)
def test_a_script_that_failed_on_what_it_found_is_told_from_a_server_that_refuses(text):
    assert blames_data(received(text))
    assert not is_of_server(received(text))


@pytest.mark.parametrize(
    "error",
    [
        received("ERR max number of clients reached"),
        exceptions.ConnectionError("max number of clients reached"),
        exceptions.ConnectionError("Connection not ready"),
    ],
)
def test_a_server_with_too_many_clients_says_so(error):
    assert str(translated(error)).startswith("the server has reached its maximum number of connections")
    assert is_known(error)


@pytest.mark.parametrize(
    "text",
    [
        "ERR unknown command 'INFO', with args beginning with: ",
        "NOPERM User default has no permissions to run the 'info' command",
        "ERR 'INFO' is disabled on this plan",
        "ERR command is not allowed",
    ],
)
def test_a_command_that_is_not_permitted_is_told_from_a_server_that_is_unavailable(text):
    assert is_not_permitted(received(text))
    assert not any(is_not_permitted(received(each)) for each in KNOWN if not each.startswith("NOPERM"))
    assert not is_not_permitted(exceptions.ConnectionError("Connection refused"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ConnectionError("Connection refused"), QueueUnavailable),
        (exceptions.ConnectionError("max number of clients reached"), QueueUnavailable),
        (exceptions.TimeoutError("Timeout reading from socket"), QueueUnavailable),
        (ConnectionResetError("reset"), QueueUnavailable),
        (exceptions.OutOfMemoryError("command not allowed"), QueueFull),
        (exceptions.BusyLoadingError("Redis is loading"), QueueUnavailable),
        (exceptions.AuthenticationError("invalid password"), ConfigurationError),
        (exceptions.NoPermissionError("no permissions"), ConfigurationError),
        (exceptions.ResponseError("MISCONF can't persist"), StorageFull),
    ],
)
def test_errors_of_the_client_library_become_ours(error, kind):
    assert type(translated(error)) is kind
    with pytest.raises(kind), explained():
        raise error

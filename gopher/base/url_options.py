"""The options of a server URL: what follows its `?`.

They have redis-py's names where it has them. An option is applied or rejected, never ignored.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from gopher.base.patterns import regex

from .endpoints import EXPECTED_MAP, AddressMap

_BOOLEANS = {"1": "1", "true": "1", "yes": "1", "on": "1", "0": "0", "false": "0", "no": "0", "off": "0"}
_SERVER_NAME = regex(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")


def _boolean(text: str) -> str:
    return _BOOLEANS[text.lower()]


def _certificate_check(text: str) -> str:
    # Celery's constants have a prefix; "optional" is the same as "required" to a client.
    word = text.lower().removeprefix("cert_")
    return {"required": "required", "optional": "required", "none": "none"}[word]


def existing_file(text: str) -> str:
    """Return the absolute path of a file that exists. Raises ValueError."""
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError as error:
        # Of ~name where there is no such user.
        raise ValueError from error
    # Path.is_file() raises for a name that is too long.
    if not os.path.isfile(path):
        raise ValueError
    return str(path)


def server_name(text: str) -> str:
    """Return the name of a certificate. Raises ValueError."""
    if not _SERVER_NAME.fullmatch(text):
        raise ValueError
    return text


def _any(text: str) -> str:
    return text


#: What an option needs of the address, and the schemes that have it.
TLS, SENTINEL, LOCATED = "TLS", "Sentinel", "Sentinel or a cluster"
SCHEMES_WITH = {
    TLS: "rediss://, rediss+sentinel:// or rediss+cluster://",
    SENTINEL: "redis+sentinel:// or rediss+sentinel://",
    LOCATED: "redis+sentinel:// or redis+cluster://",
}


class Option(NamedTuple):
    """An option, and how its value is read: `read` raises ValueError or KeyError for an invalid one."""

    needs: str
    expected: str
    read: Callable[[str], str]
    secret: bool = False


OPTIONS = {
    "ssl_cert_reqs": Option(TLS, "required or none", _certificate_check),
    "ssl_ca_certs": Option(TLS, "the path of a file with certificates of authorities", existing_file),
    "ssl_certfile": Option(TLS, "the path of a file with a client certificate", existing_file),
    "ssl_keyfile": Option(TLS, "the path of a file with the key of a client certificate", existing_file),
    "ssl_password": Option(TLS, "the password of ssl_keyfile", _any, secret=True),
    "ssl_check_hostname": Option(TLS, "1 or 0", _boolean),
    "ssl_server_name": Option(TLS, "the host name in the server's certificate", server_name),
    "sentinel_username": Option(SENTINEL, "a user name", _any),
    "sentinel_password": Option(SENTINEL, "a password", _any, secret=True),
    "sentinel_tls": Option(SENTINEL, "1 or 0", _boolean),
    "address_map": Option(LOCATED, EXPECTED_MAP, lambda text: AddressMap(text).text),
}
#: Accepted as well; they are not options of their own in a parsed address.
_PARTS = ("db", "username", "password")

_TIMEOUT = "use the setting REDIS_TIMEOUT"
_TLS = "use rediss:// for TLS"
_OWN = "remove it: Gopher does this by itself"
#: Options of other libraries, and what to do instead.
_INSTEAD = {
    "ssl": _TLS,
    "tls": _TLS,
    "socket_timeout": _TIMEOUT,
    "socket_connect_timeout": _TIMEOUT,
    "timeout": _TIMEOUT,
    "dial_timeout": _TIMEOUT,
    "read_timeout": _TIMEOUT,
    "write_timeout": _TIMEOUT,
    "commandTimeout": _TIMEOUT,
    "connectTimeout": _TIMEOUT,
    "skip_verify": "use ssl_cert_reqs=none",
    "insecure_skip_verify": "use ssl_cert_reqs=none",
    "ssl_ca_path": "use ssl_ca_certs with a file that has all certificates",
    "ssl_ca_data": "use ssl_ca_certs with a file",
    "ssl_keyfile_password": "use ssl_password",
    "sni": "use ssl_server_name",
    "database": "use db",
    "virtual_host": "use db",
    "user": "use username",
    "master": "put the name of the master into the path: redis+sentinel://h1:26379,h2:26379/mymaster",
    "master_name": "put the name of the master into the path: redis+sentinel://h1:26379,h2:26379/mymaster",
    "sentinelMasterId": "put the name of the master into the path: redis+sentinel://h1:26379,h2:26379/mymaster",
    "addr": "list all hosts: redis+cluster://h1:7000,h2:7001",
    "natMap": "use address_map",
    "family": "remove it: addresses of both families are tried",
    "protocol": "remove it: Gopher uses RESP2, which every server supports",
    "max_connections": _OWN,
    "pool_size": _OWN,
    "health_check_interval": _OWN,
    "retry_on_timeout": _OWN,
    "retry_on_error": _OWN,
    "socket_keepalive": _OWN,
    "decode_responses": _OWN,
    "encoding": _OWN,
}


def parse_options(query: str) -> dict[str, str]:
    """Parse the options of a URL, `db`, `username` and `password` included. Raises ValueError."""
    found: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name in found:
            raise ValueError(f"expected the option {name} once")
        if name not in OPTIONS and name not in _PARTS:
            raise ValueError(f"expected no option {name!r:.60}: {_INSTEAD.get(name, _KNOWN)}")
        found[name] = text if name in _PARTS else _read(name, text)
    return found


_KNOWN = f"the options are {', '.join([*_PARTS, *OPTIONS])}"


def _read(name: str, text: str) -> str:
    option = OPTIONS[name]
    try:
        if not text:
            raise ValueError
        return option.read(text)
    except (ValueError, KeyError):
        raise ValueError(f"expected {option.expected} in the option {name}") from None

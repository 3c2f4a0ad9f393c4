"""Parses and formats server URLs (`REDIS_URL`).

redis://[[user]:password@]host[:port][/db]         one server
unix://[[user]:password@]/path/of/socket[?db=n]    one server on this machine
redis+sentinel://h1:26379,h2:26379/name[/db]       the master with this name in Sentinel
redis+cluster://h1:7000,h2:7001                    a cluster, discovered through any of these

With rediss in place of redis all connections use TLS. valkey is the same as redis, and valkeys as rediss. Options are
in `url_options`.
"""

import re
import sys
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

import msgspec

from gopher.base.patterns import regex

from .endpoints import AddressMap, Endpoint, format_endpoint, parse_endpoints
from .url_options import OPTIONS, SCHEMES_WITH, SENTINEL, TLS, parse_options

_SENTINEL, _CLUSTER = "+sentinel", "+cluster"
SCHEMES = ("redis", "rediss", "unix", *(f"{one}{of}" for one in ("redis", "rediss") for of in (_SENTINEL, _CLUSTER)))
#: Other spellings: of Valkey's clients, and of other libraries.
_ALIASES = {
    "redis+socket": "unix",
    "redis+unix": "unix",
    "redis-socket": "unix",
    "valkey+unix": "unix",
}
EXPECTED = (
    "a URL such as redis://localhost:6379/0, rediss://..., unix:///path/of/socket, "
    "redis+sentinel://h1:26379,h2:26379/mymaster/0 or redis+cluster://h1:7000,h2:7001"
)
_MASTER = "the name of the master after the hosts: redis+sentinel://h1:26379,h2:26379/mymaster/0"
#: Schemes that other programs use, and what is meant.
_INSTEAD = {
    "http": "redis:// or rediss://, not the address of an HTTP API",
    "https": "rediss://, not the address of an HTTP API",
    "tcp": "redis:// in place of tcp://",
    "tls": "rediss:// in place of tls://",
    "redis+ssl": "rediss:// in place of redis+ssl://",
    "redis+tls": "rediss:// in place of redis+tls://",
    "redis+srv": "the hosts themselves: SRV records are not looked up",
    "sentinel": _MASTER,
}

_URL = regex(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_MASKED = "***"
#: Bytes: sockaddr_un.sun_path holds 108 on Linux and 104 on macOS, closing NUL included.
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107


class TlsOptions(NamedTuple):
    """How a server's certificate is verified, and the client's own certificate."""

    #: `required`, `none`, or the path of a file with the authorities that are trusted instead of the usual ones.
    verify: str = "required"
    check_hostname: bool = True
    #: The name that is expected and sent (SNI) in place of the host's.
    server_name: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = ""


class ServerAddress(msgspec.Struct, frozen=True):
    """A server, a Sentinel group or a cluster. `hosts` are (host, port) pairs; a unix socket has a `path` instead."""

    scheme: str
    hosts: tuple[Endpoint, ...] = ()
    path: str = ""
    #: The master's name in Sentinel.
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    #: Names and values of the options.
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Parse a URL. Raises ValueError with what is expected, without repeating a password."""
        parts = _split(url.strip())
        place = (_unix_place if parts.scheme == "unix" else _network_place)(parts)
        options = tuple((name, text) for name, text in parts.options.items() if name in OPTIONS)
        address = msgspec.structs.replace(place, username=parts.username, password=parts.password, options=options)
        if problems := address.problems():
            raise ValueError(f"expected {problems[0]}")
        return address

    @property
    def uses_tls(self) -> bool:
        return self.scheme.startswith("rediss")

    @property
    def is_sentinel(self) -> bool:
        return self.scheme.endswith(_SENTINEL)

    @property
    def is_cluster(self) -> bool:
        return self.scheme.endswith(_CLUSTER)

    @property
    def tls(self) -> TlsOptions | None:
        """How TLS is used, None if neither servers nor sentinels use it."""
        if not self.uses_tls and not self.sentinels_use_tls:
            return None
        get = dict(self.options).get
        verify = "none" if get("ssl_cert_reqs") == "none" else get("ssl_ca_certs", "required")
        return TlsOptions(
            verify,
            get("ssl_check_hostname") != "0",
            get("ssl_server_name", ""),
            get("ssl_certfile", ""),
            get("ssl_keyfile", ""),
            get("ssl_password", ""),
        )

    @property
    def sentinels_use_tls(self) -> bool:
        """Whether connections to the sentinels use TLS: like those to the servers, unless an option says otherwise."""
        return self.is_sentinel and self.option("sentinel_tls", "1" if self.uses_tls else "0") == "1"

    @property
    def address_map(self) -> AddressMap:
        return AddressMap(self.option("address_map"))

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    def with_options(self, options: Mapping[str, str | None]) -> "ServerAddress":
        """Return it with these options; None removes one."""
        changed = {**dict(self.options), **options}
        return msgspec.structs.replace(
            self, options=tuple((name, text) for name, text in changed.items() if text is not None)
        )

    def problems(self) -> list[str]:
        """Return what is expected of options that do not fit the scheme or each other."""
        given = dict(self.options)
        found = [
            f"no {name} in a {self.scheme}:// URL: it is for {SCHEMES_WITH[OPTIONS[name].needs]}"
            for name in given
            if not self.has(OPTIONS[name].needs)
        ]
        if given.get("ssl_cert_reqs") == "none" and "ssl_ca_certs" in given:
            found.append("either ssl_cert_reqs=none or ssl_ca_certs, not both")
        if "ssl_keyfile" in given and "ssl_certfile" not in given:
            found.append("ssl_certfile with ssl_keyfile")
        if "ssl_password" in given and "ssl_certfile" not in given:
            found.append("ssl_certfile with ssl_password")
        if "sentinel_username" in given and "sentinel_password" not in given:
            found.append("sentinel_password with sentinel_username")
        return found

    def has(self, what: str) -> bool:
        """Return whether an address of this kind has what an option needs."""
        if what == TLS:
            return self.uses_tls or self.sentinels_use_tls
        return self.is_sentinel or (what != SENTINEL and self.is_cluster)

    @property
    def url(self) -> str:
        """The complete URL with all passwords: for other processes, never for logs."""
        return self._build(None if self.password is None else quote(self.password, safe=""), dict(self.options))

    def __repr__(self) -> str:
        return f"ServerAddress({str(self)!r})"

    def __str__(self) -> str:
        options = {name: _MASKED if OPTIONS[name].secret else text for name, text in self.options}
        return self._build(None if self.password is None else _MASKED, options)

    def _build(self, password: str | None, options: Mapping[str, str]) -> str:
        user = quote(self.username or "", safe="")
        credentials = user if password is None else f"{user}:{password}"
        if self.scheme == "unix" and self.db:
            options = {"db": str(self.db), **options}
        netloc = (credentials + "@" if credentials else "") + ",".join(map(format_endpoint, self.hosts))
        return f"{self.scheme}://{netloc}{self._path()}" + ("?" + urlencode(options, safe="*/:,=[]") if options else "")

    def _path(self) -> str:
        if self.scheme == "unix":
            return quote(self.path)
        if self.is_cluster:
            return ""
        return f"/{quote(self.service, safe='')}/{self.db}" if self.service else f"/{self.db}"


def masked(url: str) -> str:
    """Return a URL with its secrets replaced by `***`, for logs and messages."""
    without = re.sub(r"(://[^/?#@\s]*?:)\S*@", rf"\1{_MASKED}@", url)
    # A password that is written where the user name belongs.
    without = re.sub(r"((?:redis|valkey|unix)[^:]*://)[^/?#@:\s]+@", rf"\1{_MASKED}@", without)
    return re.sub(r"([?&][\w%.-]*passw[\w%.-]*=)[^&\s]*", rf"\1{_MASKED}", without, flags=re.IGNORECASE)


class _Parts(NamedTuple):
    """The parts of a URL, percent-decoded where they are complete."""

    scheme: str
    username: str | None
    password: str | None
    hosts: str
    path: str
    options: dict[str, str]


def _split(url: str) -> _Parts:
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"expected {EXPECTED}")
    scheme, netloc, path, query, fragment = match.groups("")
    scheme = _scheme(scheme.lower())
    credentials, at, hosts = netloc.rpartition("@")
    if not at and "@" in f"{path}{query}{fragment}" and scheme != "unix":
        raise ValueError("expected a percent-encoded password: / is %2F, ? is %3F, # is %23 and @ is %40")
    if fragment:
        raise ValueError("expected nothing after #" + (f": {_MASTER}" if scheme.endswith(_SENTINEL) else ""))
    username, colon, password = credentials.partition(":")
    options = parse_options(query)
    return _Parts(
        scheme,
        options.pop("username", unquote(username)) or None,
        options.pop("password", unquote(password) if colon else None),
        hosts,
        path,
        options,
    )


def _scheme(text: str) -> str:
    scheme = _ALIASES.get(text) or re.sub(r"^valkey(?=s?\b)", "redis", text)
    # redis-sentinel:// and redis-cluster:// of other libraries.
    scheme = re.sub(r"^(rediss?)-(?=sentinel$|cluster$)", r"\1+", scheme)
    if scheme not in SCHEMES:
        raise ValueError(f"expected {_INSTEAD.get(text, EXPECTED)}")
    return scheme


def _unix_place(parts: _Parts) -> ServerAddress:
    path = unquote(parts.path).rstrip("/")
    if parts.hosts or not path:
        raise ValueError("expected unix:///absolute/path/of/socket")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ValueError(f"expected a socket path of at most {LONGEST_SOCKET_PATH} bytes")
    return ServerAddress(parts.scheme, path=path, db=_database(parts.options.get("db", "")))


def _network_place(parts: _Parts) -> ServerAddress:
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    sentinel, cluster = parts.scheme.endswith(_SENTINEL), parts.scheme.endswith(_CLUSTER)
    if sentinel and (not segments or (re.fullmatch("[0-9]+", segments[-1]) and len(segments) == 1)):
        raise ValueError(f"expected {_MASTER}")
    service = segments.pop(0) if sentinel else ""
    given = {*segments[:1], *([parts.options["db"]] if "db" in parts.options else [])}
    if len(given) > 1 or len(segments) > 1:
        raise ValueError("expected one database number at the end" if segments else f"expected {EXPECTED}")
    db = _database(next(iter(given), ""))
    if cluster and db:
        raise ValueError("expected no database: a cluster has database 0 only")
    found = parse_endpoints(parts.hosts or "localhost", default_port=26379 if sentinel else 6379)
    if len(found) > 1 and not (sentinel or cluster):
        raise ValueError("expected one host; several are for redis+sentinel:// and redis+cluster://")
    return ServerAddress(parts.scheme, found, service=service, db=db)


def _database(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch("[0-9]{1,5}", text):
        raise ValueError("expected a database number at the end")
    return int(text)

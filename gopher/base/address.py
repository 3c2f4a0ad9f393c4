"""Parses and formats server URLs (`REDIS_URL`).

redis://[[user]:password@]host[:port][/db]         one server
rediss://...                                       the same, over TLS
unix://[[user]:password@]/path/of/socket[?db=n]    one server on this machine
redis+sentinel://h1:26379,h2:26379/name[/db]       the master with this name in Sentinel
redis+cluster://h1:7000,h2:7001                    a cluster, discovered through any of these
"""

import re
import sys
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
EXPECTED = (
    "a URL such as redis://localhost:6379/0, rediss://..., unix:///path/of/socket, "
    "redis+sentinel://h1:26379,h2:26379/mymaster/0 or redis+cluster://h1:7000,h2:7001"
)

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:@/,]+)(?::(?P<port>\d{1,5}))?")
_MASKED = "***"
#: Bytes: sockaddr_un.sun_path holds 108 on Linux and 104 on macOS, closing NUL included.
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True)
class ServerAddress:
    """A server, a Sentinel group or a cluster. `hosts` are (host, port) pairs; a unix socket has a `path` instead."""

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    #: The master's name in Sentinel.
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    #: Further options of the client library.
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Parse a URL. Raises ValueError with what is expected, without repeating a password."""
        parts = urlsplit(url.strip())
        if parts.scheme not in SCHEMES:
            raise ValueError(f"expected {EXPECTED}")
        username, password, hosts = _split_netloc(parts.netloc)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        place = (_unix_place if parts.scheme == "unix" else _network_place)(parts, hosts, options)
        return replace(
            place,
            username=options.pop("username", username),
            password=options.pop("password", password),
            options=tuple(options.items()),
        )

    @property
    def url(self) -> str:
        """The complete URL with the password: for the client library, never for logs."""
        return self._build(None if self.password is None else quote(self.password, safe=""))

    def __str__(self) -> str:
        return self._build(None if self.password is None else _MASKED)

    def _build(self, password: str | None) -> str:
        user = quote(self.username or "", safe="")
        credentials = user if password is None else f"{user}:{password}"
        options = [("db", str(self.db)), *self.options] if self.scheme == "unix" and self.db else list(self.options)
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        netloc = (credentials + "@" if credentials else "") + ",".join(hosts)
        return f"{self.scheme}://{netloc}{self._path()}" + ("?" + urlencode(options) if options else "")

    def _path(self) -> str:
        if self.scheme == "unix":
            return quote(self.path)
        if self.scheme == "redis+cluster":
            return ""
        return f"/{self.service}/{self.db}" if self.service else f"/{self.db}"


def masked(url: str) -> str:
    """Return a URL with passwords replaced by `***`, for logs and messages."""
    without = re.sub(r"(://[^/?#@\s]*?:)\S*@", rf"\1{_MASKED}@", url)
    return re.sub(r"([?&]password=)[^&\s]*", rf"\1{_MASKED}", without)


def _split_netloc(netloc: str) -> tuple[str | None, str | None, str]:
    credentials, at, hosts = netloc.rpartition("@")
    username, colon, password = credentials.partition(":")
    return (unquote(username) if at and username else None), (unquote(password) if colon else None), hosts


def _unix_place(parts: SplitResult, hosts: str, options: dict[str, str]) -> ServerAddress:
    path = unquote(parts.path)
    if hosts or not path.strip("/"):
        raise ValueError("expected unix:///absolute/path/of/socket")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ValueError(f"expected a socket path of at most {LONGEST_SOCKET_PATH} bytes")
    return ServerAddress(parts.scheme, path=path, db=_database(options.pop("db", "")))


def _network_place(parts: SplitResult, hosts: str, options: dict[str, str]) -> ServerAddress:
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    sentinel, cluster = parts.scheme == "redis+sentinel", parts.scheme == "redis+cluster"
    if sentinel and not segments:
        raise ValueError("expected the master's name after the hosts: redis+sentinel://h1:26379,h2:26379/mymaster/0")
    service = segments.pop(0) if sentinel else ""
    database = options.pop("db", segments.pop(0) if segments else "")
    if segments:
        raise ValueError(f"expected {EXPECTED}")
    if cluster and _database(database):
        raise ValueError("expected no database: a cluster has database 0 only")
    found = _hosts(hosts or "localhost", default_port=26379 if sentinel else 6379)
    if len(found) > 1 and not (sentinel or cluster):
        raise ValueError("expected one host; several are for redis+sentinel:// and redis+cluster://")
    return ServerAddress(parts.scheme, found, service=service, db=_database(database))


def _hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for entry in text.split(","):
        match = _HOST.fullmatch(entry.strip())
        port = int((match and match["port"]) or default_port)
        if match is None or not 0 < port < 65536:
            # Not repeated here: if a password contains an unquoted / or #, this is a part of it.
            raise ValueError("expected host or host:port (a password must be percent-encoded)")
        found.append((match["host"].strip("[]"), port))
    return tuple(found)


def _database(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,5}", text):
        raise ValueError("expected a database number at the end")
    return int(text)

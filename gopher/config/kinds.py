"""The kinds of settings, and how each is parsed.

A kind parses text, and has a description of what it expects that completes the sentence "expected ...".
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import urlsplit

from gopher.base import durations, rates
from gopher.base.address import EXPECTED as EXPECTED_URL
from gopher.base.address import ServerAddress
from gopher.base.names import QUEUE_NAME
from gopher.base.priorities import PRIORITIES, TURNS

T = TypeVar("T")

Role = Literal["submit", "read", "admin"]
#: From the weakest to the strongest; each includes the ones before it.
ROLES: tuple[Role, ...] = ("submit", "read", "admin")
_ROLE_OF: dict[str, Role] = {role: role for role in ROLES}
#: Weights of the priorities, or None for strict order.
Weights = dict[str, int] | Literal["strict"]

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b|)", re.IGNORECASE)
#: Maximum of sizes, in bytes: a TiB.
_LARGEST = 2**40
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
#: Names of clients. Many generated secrets don't match, so a secret with a colon is not mistaken for name:secret.
_KEY_NAME = re.compile(r"[\w.@+-][\w .@+/-]{0,63}")
_HOST_NAME = re.compile(r"\*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|\.?[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
#: Minimum number of characters of a secret if the API is reachable from other machines.
LEAST_SECRET = 16
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})")
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of setting: `read` raises ValueError for invalid text."""

    expected: str
    read: Callable[[str], T]
    #: Whether the text must not be repeated in messages.
    secret: bool = False


@dataclass(frozen=True)
class ApiKey:
    """A client's API key; only the SHA-256 digest of its secret is kept."""

    name: str
    digest: bytes = field(repr=False)
    role: Role
    #: Has fewer than LEAST_SECRET characters: accepted only if the API is not reachable from other machines.
    short: bool = False


def integer(least: int, most: int) -> Kind[int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {least} to {most}", read)


def duration(*, above: float = -1.0, most: float = durations.LONGEST) -> Kind[float]:
    """Read seconds: more than `above`, at most `most`."""
    expected = durations.EXPECTED
    if above >= 0:
        expected += f", more than {durations.format_duration(above) if above else '0'}"
    if most < durations.LONGEST:
        expected += f", at most {durations.format_duration(most)}"

    def read(text: str) -> float:
        seconds = durations.parse_duration(text)
        if not above < seconds <= most:
            raise ValueError
        return seconds

    return Kind(expected, read)


def size(least: int = 1) -> Kind[int]:
    """Read bytes: `1MiB`, `512KiB`, or a bare number."""

    def read(text: str) -> int:
        match = _SIZE.fullmatch(text)
        value = float(match[1]) * _SIZES[match[2].lower()] if match else 0.0
        if not least <= value <= _LARGEST:
            raise ValueError
        return int(value)

    return Kind(f"a size such as 1MiB, 512KiB, or a bare number of bytes, from {least} bytes to 1024GiB", read)


def choice(*words: str) -> Kind[str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return Kind("one of " + ", ".join(words), read)


def listing(what: str, item: Callable[[str], T]) -> Kind[tuple[T, ...]]:
    """Read a comma-separated list without duplicates; spaces around commas are ignored."""

    def read(text: str) -> tuple[T, ...]:
        items = tuple(item(part.strip()) for part in text.split(",") if part.strip())
        if not items or len(set(items)) != len(items):
            raise ValueError
        return items

    return Kind(f"{what}, comma-separated, without duplicates", read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same kind for an optional variable: empty text is None."""
    return Kind(kind.expected, lambda text: kind.read(text) if text else None, kind.secret)


def or_nothing(kind: Kind[tuple[T, ...]]) -> Kind[tuple[T, ...]]:
    """The same list for an optional variable: empty text is an empty list."""
    return Kind(kind.expected, lambda text: kind.read(text) if text else (), kind.secret)


def matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _read_boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


def _read_host(text: str) -> str:
    if re.search(r"[\s/@,]", text) or "://" in text:
        raise ValueError
    return text.strip("[]")


def _read_allowed_host(text: str) -> str:
    host = text.strip("[]").rstrip(".").lower()
    if not _HOST_NAME.fullmatch(host):
        raise ValueError
    return str(ipaddress.ip_address(host)) if ":" in host else host


def _read_weights(text: str) -> Weights:
    if text.lower() == "strict":
        return "strict"
    weights = {}
    for entry in text.split(","):
        priority, _, share = entry.partition(":")
        if priority.strip() in weights:
            raise ValueError
        weights[priority.strip()] = integer(1, 1000).read(share.strip())
    if set(weights) != set(PRIORITIES):
        raise ValueError
    return {priority: weights[priority] for priority in PRIORITIES}


def _read_rate_or_off(text: str) -> rates.Rate | None:
    if text.lower() in ("", "off"):
        return None
    rate = rates.parse_rate(text)
    if not rate.count:
        raise ValueError
    return rate


def _read_api_keys(text: str) -> tuple[ApiKey, ...]:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ValueError("expected at least one key; leave the variable empty for none")
    keys = tuple(_read_api_key(entry, f"key {number} of {len(entries)}") for number, entry in enumerate(entries, 1))
    if len({key.digest for key in keys}) != len(keys):
        raise ValueError("expected each secret once")
    if len(keys) > 1 and not all(":" in entry for entry in entries):
        # A secret with a comma would be split in two keys, the second of which may be short and would be an admin.
        raise ValueError(
            "expected name:secret or name:secret:role for each of several keys; a secret can't contain a comma, and "
            "only a single key can be without a name"
        )
    return keys


def _read_api_key(text: str, which: str) -> ApiKey:
    """Read one key. Messages never repeat a part of it: with a misplaced colon, that could be the secret."""
    # Secret generators of platforms (Heroku's app.json) generate a bare secret: the owner's key.
    parts = [part.strip() for part in text.split(":")] if ":" in text else ["owner", text]
    if len(parts) > 3:
        raise ValueError(f"expected name:secret:role in {which}: neither name nor secret can contain a colon")
    name, secret, role = parts if len(parts) == 3 else (*parts, "admin")
    if not _KEY_NAME.fullmatch(name):
        raise ValueError(
            f"expected name:secret:role in {which}, with a name of 1 to 64 letters, digits, spaces and . _ - @ + /"
        )
    if not secret:
        raise ValueError(f"expected name:secret:role in {which}: its secret is missing")
    if secret.lower() in _ROLE_OF:
        raise ValueError(f"expected name:secret:role in {which}: it has a role in place of its secret")
    if len(parts) == 2 and name.lower() in ("submit", "read"):
        raise ValueError(f"expected name:secret:role in {which}: its name is a role, so add its role explicitly")
    if role not in _ROLE_OF:
        raise ValueError(f"expected submit, read or admin as the role of {which} (or name:secret alone for admin)")
    return ApiKey(name, hashlib.sha256(secret.encode()).digest(), _ROLE_OF[role], len(secret) < LEAST_SECRET)


def _read_tls_verify(text: str) -> str:
    if text.lower() in ("required", "none"):
        return text.lower()
    if not Path(text).expanduser().is_file():
        raise ValueError
    return str(Path(text).expanduser().absolute())


def _read_origin(text: str) -> str:
    parts = urlsplit(text)
    if text != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query):
        raise ValueError
    return text


def _read_url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError
        return text

    return read


def _read_host_port(text: str) -> str:
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError
    return text.lower()


BOOLEAN = Kind("1 or 0 (yes or no, true or false, on or off)", _read_boolean)
TEXT = Kind("any text", str)
SECRET = Kind("any text", str, secret=True)
HOST = Kind("a host name or address, without scheme or port", _read_host)
PORT = integer(0, 65535)
LOG_LEVEL = choice("debug", "info", "warning", "error", "critical")
LOG_FORMAT = choice("console", "json")
START_METHOD = choice("fork", "spawn")
SERVER_URL = Kind(EXPECTED_URL, lambda text: ServerAddress.parse(text).url)
TLS_VERIFY = Kind("required, none, or the path of a CA file that exists", _read_tls_verify)
SMTP_URL = Kind(
    "a URL such as smtp://localhost:25, smtp://user:password@host:587?starttls=1 or smtps://host",
    _read_url("smtp", "smtps"),
)
HTTP_URL = Kind("a URL such as http://localhost:4318", _read_url("http", "https"))
FOLDER = Kind("the path of a folder", lambda text: Path(text).expanduser().absolute())
FILE = Kind("the path of a file", lambda text: Path(text).expanduser().absolute())
QUEUES = listing(f"queue names ({QUEUE_NAME.pattern})", matching(QUEUE_NAME))
MODULES = listing("module names such as shop.jobs", matching(_MODULE))
NAMESPACE = Kind("1 to 63 letters, digits, dots, dashes or underscores", matching(_NAMESPACE))
ORIGINS = listing("origins such as https://example.com, or *", _read_origin)
ALLOWED_HOSTS = listing("host names without a port such as gopher.internal or .example.com, or *", _read_allowed_host)
HOST_PORTS = listing("host:port pairs", _read_host_port)
#: As they are written.
DEFAULT_WEIGHTS = ",".join(f"{priority}:{turns}" for priority, turns in TURNS.items())
WEIGHTS = Kind(f"strict, or a share from 1 to 1000 of each priority such as {DEFAULT_WEIGHTS}", _read_weights)
RATE = Kind(f"off, or {rates.EXPECTED}", _read_rate_or_off)
API_KEYS = Kind(
    "name:secret or name:secret:role, comma-separated, each secret once; role is submit, read or admin",
    _read_api_keys,
    secret=True,
)

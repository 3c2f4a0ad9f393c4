"""The kinds of settings, and how each is parsed.

A kind parses text, and has a description of what it expects that completes the sentence "expected ...".
"""

import ipaddress
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from gopher.base import durations, rates
from gopher.base.address import EXPECTED as EXPECTED_URL
from gopher.base.address import ServerAddress
from gopher.base.endpoints import EXPECTED_MAP, AddressMap
from gopher.base.names import QUEUE_NAME
from gopher.base.patterns import regex
from gopher.base.priorities import PRIORITIES, TURNS
from gopher.base.url_options import existing_file, server_name

T = TypeVar("T")

#: Weights of the priorities, or None for strict order.
Weights = dict[str, int] | Literal["strict"]

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = regex(r"([0-9]+(?:\.[0-9]+)?)\s*([kmg]?i?b|)", re.IGNORECASE)
#: Maximum of sizes, in bytes: a TiB.
_LARGEST = 2**40
_MODULE = regex(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_NAMESPACE = regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST_NAME = regex(r"\*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|\.?[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
_HOST_PORT = regex(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_ORIGIN = regex(r"(https?)://([a-z0-9_](?:[a-z0-9_.-]{0,252})|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SENDER = regex(r"\*|[^\s@<>,;\"]*@[a-z0-9](?:[a-z0-9.-]{0,252})")
_TYPES = regex(r"(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})")
_STORE = regex(
    r"file:|redis:|(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)*/?(?:\?[A-Za-z0-9_]+=[^\s@#]*)?"
)
#: The beginning of a URL's path: segments that are the same when they are quoted.
_PREFIX = regex(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~@+-]{1,64}){0,8}")
#: The API's own paths, at which no base path can be recognized.
_OWN_PATH = regex(r"/(?:api|api/v1(?:/.*)?|(?:dashboard|docs|health|hirefire|judoscale|metrics|openapi\.json)(?:/.*)?)")
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """A kind of setting: `read` raises ValueError for invalid text."""

    expected: str
    read: Callable[[str], T]
    #: Whether the text must not be repeated in messages.
    secret: bool = False


def integer(least: int, most: int) -> Kind[int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,18}", text) or not least <= int(text) <= most:
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


def integer_or(words: dict[str, int], least: int, most: int) -> Kind[int]:
    """Read an integer, or one of the words for some."""
    numbers = integer(least, most)
    return Kind(
        f"{numbers.expected}, or {' or '.join(words)}",
        lambda text: words[text.lower()] if text.lower() in words else numbers.read(text),
    )


def size_or(words: dict[str, int | None], least: int = 1) -> Kind[int | None]:
    """Read a size, or one of the words for some."""
    sizes = size(least)
    return Kind(
        f"{sizes.expected}, or {' or '.join(words)}",
        lambda text: words[text.lower()] if text.lower() in words else sizes.read(text),
    )


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


def path_prefix(text: str) -> str:
    """Read the beginning of a URL's path; return it without a slash at its end. Raises ValueError."""
    return matching(_PREFIX)(text.removesuffix("/"))


def _read_base_path(text: str) -> str:
    path = path_prefix(text)
    if _OWN_PATH.fullmatch(path):
        raise ValueError
    return path


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


def _read_tls_verify(text: str) -> str:
    if text.lower() in ("required", "none"):
        return text.lower()
    return existing_file(text)


def _read_path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        # Of ~name where there is no such user.
        raise ValueError from error


def _read_text(text: str) -> str:
    # Text that is not UTF-8 has surrogates in Python's environment.
    text.encode()
    return text


def _read_origin(text: str) -> str:
    """Read an origin as browsers send it: in lower case, and without the default port."""
    if text == "*":
        return text
    match = _ORIGIN.fullmatch(text.lower())
    if match is None or not 0 < int(match[3] or 1) < 65536:
        if "*" in text:
            raise ValueError("expected each origin in full: * can't be a part of one, so list its subdomains")
        raise ValueError
    scheme, host, port = match.groups()
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _read_url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError
        return text

    return read


def _read_presets(text: str) -> str:
    presets = json.loads(text)
    if not isinstance(presets, dict) or not all(isinstance(each, dict) for each in presets.values()):
        raise ValueError
    return text


def read_host_port(text: str) -> str:
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError
    return text.lower()


PRESETS = Kind('a JSON object such as {"thumb": {"width": 200, "height": 200}}', _read_presets)
BOOLEAN = Kind("1 or 0 (yes or no, true or false, on or off)", _read_boolean)
TEXT = Kind("any UTF-8 text", _read_text)
SECRET = Kind("any UTF-8 text", _read_text, secret=True)
HOST = Kind("a host name or address, without scheme or port", _read_host)
PORT = integer(0, 65535)
BASE_PATH = Kind("a path such as /gopher or /tools/gopher that is none of the API's own paths", _read_base_path)
#: 0 is auto, None is off.
MEMORY = size_or({"auto": 0, "off": None}, 2**26)
#: 0 is auto.
CONCURRENCY = integer_or({"auto": 0}, 1, 1000)
#: -1 is auto.
FROZEN = integer_or({"auto": -1}, 0, 1000)
THREADS = Kind("auto, off, or a whole number from 1 to 1000", matching(regex(r"auto|off|[1-9][0-9]{0,2}|1000")))
LOG_LEVEL = choice("debug", "info", "warning", "error", "critical")
LOG_FORMAT = choice("console", "json")
START_METHOD = choice("fork", "spawn")
SERVER_URL = Kind(EXPECTED_URL, lambda text: ServerAddress.parse(text).url)
TLS_VERIFY = Kind("required, none, or the path of a CA file that exists", _read_tls_verify)
#: Part of a path.
SCALING_TOKEN = Kind("16 to 200 letters, digits, - and _", matching(regex(r"|[A-Za-z0-9_-]{16,200}")), secret=True)
SMTP_URL = Kind(
    "a URL such as smtp://localhost:25, smtp://user:password@host:587?starttls=1 or smtps://host",
    _read_url("smtp", "smtps"),
)
HTTP_URL = Kind("a URL such as http://localhost:4318", _read_url("http", "https"))
FOLDER = Kind("the path of a folder", _read_path)
STORE = Kind("file:, redis:, or a bucket such as s3://bucket/prefix, without credentials", matching(_STORE))
FILE = Kind("the path of a file", _read_path)
EXISTING_FILE = Kind("the path of a file that exists", existing_file)
SERVER_NAME = Kind("a host name", server_name)
ADDRESS_MAP = Kind(EXPECTED_MAP, lambda text: AddressMap(text).text)
QUEUES = listing(f"queue names ({QUEUE_NAME.pattern})", matching(QUEUE_NAME))
MODULES = listing("module names such as shop.jobs", matching(_MODULE))
NAMESPACE = Kind("1 to 63 letters, digits, dots, dashes or underscores", matching(_NAMESPACE))
SENDERS = listing(
    "addresses such as orders@example.com, domains such as @example.com, or *",
    lambda text: matching(_SENDER)(text.lower()),
)
HIDDEN = listing("names of variables, or patterns such as AWS_*", matching(regex(r"[A-Za-z_][A-Za-z0-9_]*\*?")))
CONTENT_TYPES = listing("content types such as image/png or image/*", lambda text: matching(_TYPES)(text.lower()))
ORIGINS = listing("origins such as https://example.com, or *", _read_origin)
ALLOWED_HOSTS = listing("host names without a port such as gopher.internal or .example.com, or *", _read_allowed_host)
HOST_PORTS = listing("host:port pairs", read_host_port)
#: As they are written.
DEFAULT_WEIGHTS = ",".join(f"{priority}:{turns}" for priority, turns in TURNS.items())
WEIGHTS = Kind(f"strict, or a share from 1 to 1000 of each priority such as {DEFAULT_WEIGHTS}", _read_weights)
RATE = Kind(f"off, or {rates.EXPECTED}", _read_rate_or_off)

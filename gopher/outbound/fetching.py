"""Requests to untrusted URLs, with protection against SSRF and limits on size, time and redirects.

The guard checks addresses where the connection is made, below the HTTP client, so no form of URL can bypass it. The
client uses no proxy, cookies or credentials.
"""

import functools
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpcore
import msgspec

from gopher import __version__
from gopher.config.tls import tls_context
from gopher.errors import Retry

from .guard import FetchRefused, Guard

#: Timeout of a connection attempt, and of a single read or write, in seconds.
SILENCE = 10.0
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: 4xx responses that are worth retrying.
_PASSING = frozenset({408, 425, 429})
#: The longest `Retry-After` that is honoured, in seconds.
_LONGEST_PAUSE = 3600.0
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)
_USUAL_PORTS = {"http": 80, "https": 443}
_UNESCAPED = "/%:@!$&'()*+,;=~?"


class FetchFailed(Exception):
    """Raised on temporary failures: no response, a broken one, or a server error."""


class Download(msgspec.Struct, frozen=True):
    """A fetched body, and its final URL."""

    content: bytes
    url: str


def fetch(url: str, *, max_bytes: int, seconds: float, guard: Guard | None = None) -> Download:
    """Fetch a URL within `seconds` in total and return at most `max_bytes`.

    Raises FetchRefused on permanent failures (a private address, an unsupported scheme, a 404, too many bytes),
    FetchFailed or Retry on temporary ones.
    """
    clock = _Clock(seconds)
    backend = _GuardedBackend(guard or Guard.from_env(), clock)
    try:
        with httpcore.ConnectionPool(ssl_context=tls_context(), network_backend=backend) as pool:
            return _follow(pool, url, max_bytes)
    except _BROKEN as error:
        raise FetchFailed(f"{url!r}: {str(error) or type(error).__name__}") from error


def put(url: str, content: bytes, content_type: str, *, seconds: float, guard: Guard | None = None) -> None:
    """Send content to a URL by PUT within `seconds` in total. Redirects are not followed.

    Raises FetchRefused on permanent failures, FetchFailed or Retry on temporary ones, after two more attempts.
    """
    clock, target = _Clock(seconds), _parse(url)
    headers = [*_headers(target), ("Content-Type", content_type), ("Content-Length", str(len(content)))]
    backend = _GuardedBackend(guard or Guard.from_env(), clock)
    for pause in (0.2, 1.0, None):
        try:
            with (
                httpcore.ConnectionPool(ssl_context=tls_context(), network_backend=backend) as pool,
                # Its body is not read, so that it may be late, broken or endless.
                pool.stream("PUT", target, headers=headers, content=content, extensions=_timeouts()) as answer,
            ):
                _check_put(shown(url), answer)
            return
        except FetchFailed:
            if pause is None:
                raise
        except _BROKEN as error:
            if pause is None:
                raise FetchFailed(f"{shown(url)!r}: {str(error) or type(error).__name__}") from error
        time.sleep(min(pause, clock.cap(None)))


class Answer(msgspec.Struct, frozen=True):
    """The response to a POST: its status, how long it says to wait (s), and the beginning of its body."""

    status: int
    retry_after: float | None
    beginning: bytes


def post(
    url: str, content: bytes, headers: Mapping[str, str], *, seconds: float, max_bytes: int, guard: Guard
) -> Answer:
    """Send content to a URL by POST within `seconds` in total. Redirects are not followed.

    Only `max_bytes` of the response's body are read; a body that is late, broken or longer changes nothing about its
    status. Raises FetchRefused if the URL is not allowed, FetchFailed if there is no response.
    """
    clock, target = _Clock(seconds), _parse(url)
    sent = [*_headers(target), *headers.items(), ("Content-Length", str(len(content)))]
    backend = _GuardedBackend(guard, clock)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=tls_context(), network_backend=backend) as pool,
            # The receiver may think about it for all of that time.
            pool.stream("POST", target, headers=sent, content=content, extensions=_timeouts(seconds)) as response,
        ):
            found = {name.lower(): value for name, value in response.headers}
            pause = _seconds(found.get(b"retry-after", b""))
            return Answer(response.status, pause, _beginning(response.iter_stream(), max_bytes))
    except _BROKEN as error:
        raise FetchFailed(f"{shown(url)!r}: {str(error) or type(error).__name__}") from error


def _beginning(stream: Iterable[bytes], max_bytes: int) -> bytes:
    content = bytearray()
    with suppress(*_BROKEN, FetchFailed):
        for chunk in stream:
            content += chunk
            if len(content) >= max_bytes:
                break
    return bytes(content[:max_bytes])


def shown(url: str) -> str:
    """Return a URL without its query, which may contain secrets, such as a signature."""
    return url.partition("?")[0]


def _check_put(url: str, answer: httpcore.Response) -> None:
    if answer.status >= 500 or answer.status in _PASSING:
        pause = next((value for name, value in answer.headers if name.lower() == b"retry-after"), b"")
        raise _try_later(url, answer.status, pause)
    if not 200 <= answer.status < 300:
        raise FetchRefused(f"{url!r} answered {answer.status} to a PUT")


def _follow(pool: httpcore.ConnectionPool, url: str, max_bytes: int) -> Download:
    for _ in range(MAX_REDIRECTS + 1):
        target = _parse(url)
        with pool.stream("GET", target, headers=_headers(target), extensions=_timeouts()) as response:
            answer = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in answer:
                url = urljoin(url, answer[b"location"].decode("utf-8", "replace"))
                continue
            _check_answer(url, response.status, answer, max_bytes)
            return Download(_read(url, response.iter_stream(), max_bytes), url)
    raise FetchRefused(f"{url!r}: more than {MAX_REDIRECTS} redirects")


def _timeouts(silence: float | None = None) -> dict[str, Any]:
    """Return the timeouts of a request whose reads and writes may take `silence` seconds each, by default SILENCE."""
    each = SILENCE if silence is None else silence
    return {"timeout": {"connect": SILENCE, "read": each, "write": each, "pool": SILENCE}}


def _parse(url: str) -> httpcore.URL:
    """Validate and split a URL. The host is in lower case and ASCII."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise FetchRefused(f"{url!r} is not a URL") from None
    if parts.scheme not in _USUAL_PORTS or not ascii_host or "%" in ascii_host:
        raise FetchRefused(f"{url!r} is not allowed: only http:// and https:// URLs with a plain host are")
    if parts.username is not None or parts.password is not None:
        raise FetchRefused("URLs with a user name or password are not allowed")
    target = quote(parts.path or "/", safe=_UNESCAPED)
    if parts.query:
        target += "?" + quote(parts.query, safe=_UNESCAPED)
    return httpcore.URL(scheme=parts.scheme, host=ascii_host, port=port or _USUAL_PORTS[parts.scheme], target=target)


def _headers(target: httpcore.URL) -> list[tuple[str, str]]:
    host = target.host.decode("ascii")
    bracketed = f"[{host}]" if ":" in host else host
    usual = target.port == _USUAL_PORTS[target.scheme.decode("ascii")]
    return [
        ("Host", bracketed if usual else f"{bracketed}:{target.port}"),
        ("User-Agent", f"gopher/{__version__}"),
        ("Accept", "*/*"),
        # A compressed body could be a thousand times its size on the wire.
        ("Accept-Encoding", "identity"),
    ]


def _check_answer(url: str, status: int, answer: dict[bytes, bytes], max_bytes: int) -> None:
    if status >= 500 or status in _PASSING:
        raise _try_later(url, status, answer.get(b"retry-after", b""))
    if status != 200:
        raise FetchRefused(f"{url!r} answered {status}")
    if answer.get(b"content-encoding", b"identity").lower() != b"identity":
        raise FetchRefused(f"{url!r} responded with a Content-Encoding that was not requested")
    length = answer.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise FetchRefused(f"{url!r} has {int(length)} bytes, more than the {max_bytes} allowed")


def _try_later(url: str, status: int, pause: bytes) -> Exception:
    reason = f"{url!r} answered {status}"
    after = _seconds(pause)
    return FetchFailed(reason) if after is None else Retry(reason, after=after)


def _seconds(pause: bytes) -> float | None:
    """Return the seconds of a `Retry-After`, which may be a time, at most as many as are honoured; None without one,
    or if the time has passed."""
    if pause.isdigit():
        return min(float(pause), _LONGEST_PAUSE) if len(pause) < 10 else None
    try:
        seconds = parsedate_to_datetime(pause.decode("latin-1")).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_PAUSE) if seconds > 0 else None


def _read(url: str, stream: Iterable[bytes], max_bytes: int) -> bytes:
    content = bytearray()
    for chunk in stream:
        content += chunk
        if len(content) > max_bytes:
            raise FetchRefused(f"{url!r} has more than the {max_bytes} bytes allowed")
    return bytes(content)


class _Clock:
    """The remaining time of the whole fetch, across all redirects and reads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def cap(self, timeout: float | None) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise FetchFailed(f"the fetch took longer than {self._seconds:.1f} s")
        return left if timeout is None else min(left, timeout)


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects only to the addresses that the guard returns for a host."""

    def __init__(self, guard: Guard, clock: _Clock) -> None:
        self._guard = guard
        self._clock = clock
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        connect = functools.partial(self._plain.connect_tcp, local_address=local_address)
        failure: Exception = httpcore.ConnectError(f"{host!r} has no address")
        for address in self._guard.addresses(host, port):
            try:
                stream = connect(address, port, timeout=self._clock.cap(timeout), socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._clock)
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """Limits each wait to the remaining time of the fetch, so that slow servers can't extend it."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.cap(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.cap(timeout))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._clock.cap(timeout))
        return _TimedStream(secured, self._clock)

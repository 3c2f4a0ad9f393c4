"""`s3:`, `gs:` and `az:`: files as objects in a bucket, through obstore.

obstore finds credentials as each provider's own tools do, signs, retries, lists and reads. Files are written with a
single PUT to a URL that it has signed: the object appears completely or not at all, no parts of it can be left behind,
and the body is sent in small chunks, while obstore holds several MiB of each upload in memory.
"""

import io
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpcore

from gopher.base.installed import require
from gopher.base.pauses import pauses
from gopher.config.tls import tls_context
from gopher.errors import ConfigurationError
from gopher.server.crashpoints import reached

from .names import check_key, content_type_of, disposition, name_in
from .store import (
    FileMissing,
    FileTooLarge,
    Reading,
    Store,
    StoredFile,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    chunks_of,
    span,
)

T = TypeVar("T")
_Names = tuple[Callable[[str], str], Callable[[str], str]]

#: Bytes per request of a download: a client that reads slowly holds no connection to the store.
_RANGE = 1024 * 1024
#: Bytes given to the connection at once.
_CHUNK = 64 * 1024
#: Seconds without any progress after which a transfer fails.
_SILENCE = 30.0
_ATTEMPTS = 4
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_TIMEOUTS = {"timeout": {"connect": 10.0, "read": _SILENCE, "write": _SILENCE, "pool": _SILENCE}}
_SECRETS = re.compile(r"access_key|account_key|sas_key|customer_key|secret|token(?!_file)|password", re.IGNORECASE)
#: Of a message, the first line: Azure's others identify the request.
_ANSWER = re.compile(r"<Code>([^<]+)</Code>.*?(?:<Message>([^<\n]*)[^<]*</Message>|$)", re.DOTALL)
_STATUS = re.compile(r"status code: (\d{3}[^:<]*)")
#: What providers call it when the bucket does not exist, as opposed to an object.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")


class Address(NamedTuple):
    """A parsed `GOPHER_STORE`."""

    url: str
    #: Options of obstore, such as endpoint and region.
    options: dict[str, str]
    presign: bool

    @classmethod
    def parse(cls, text: str) -> "Address":
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        secrets = [name for name in options if _SECRETS.search(name)]
        if secrets:
            raise ConfigurationError(
                f"GOPHER_STORE has {secrets[0]}: set credentials as environment variables, such as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        presign = options.pop("presign", "1").lower() not in ("0", "no", "false", "off")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", options, presign)


class BucketStore(Store):
    """Files in a bucket."""

    def __init__(self, url: str) -> None:
        self.url, options, self._presign = Address.parse(url)
        self._object_of, self._key_of = _AZURE_NAMES if self.url.startswith("az:") else _NAMES
        self._store: Any = _opened(self.url, options)
        self._pool = httpcore.ConnectionPool(ssl_context=tls_context(), max_connections=None, keepalive_expiry=20)

    def write(
        self, key: str, content: BinaryIO | Iterable[bytes], *, limit: int, content_type: str = "", name: str = ""
    ) -> StoredFile:
        last = check_key(key).rpartition("/")[2]
        content_type, name = content_type or content_type_of(last), name or last
        with _as_file(content, limit) as (file, size):
            headers = _headers(self.url, size, content_type, disposition(name))
            reached("file.written")
            etag = self._put(key, file, headers)
        return StoredFile(key, size, etag, time.time(), content_type, name)

    def _put(self, key: str, file: BinaryIO, headers: dict[str | bytes, str | bytes]) -> str:
        """PUT a file, from its position on, with retries. Return the object's etag."""
        start = file.tell()

        def put() -> str:
            file.seek(start)
            return self._put_once(self._signed("PUT", key, 900), file, headers)

        return _persisting(put)

    def _put_once(self, url: str, file: BinaryIO, headers: dict[str | bytes, str | bytes]) -> str:
        try:
            with self._pool.stream("PUT", url, headers=headers, content=_sent(file), extensions=_TIMEOUTS) as response:
                text = _beginning(response)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            raise StoreUnavailable("the store for files does not answer", str(error) or type(error).__name__) from error
        if response.status in _PASSING:
            raise StoreUnavailable("the store for files fails", f"{response.status} {_said(text)}")
        if response.status not in (200, 201):
            raise StoreRefused("the store for files refuses to store", f"{response.status} {_said(text)}")
        etag = next((value for name, value in response.headers if name.lower() == b"etag"), b"")
        return etag.decode("latin-1").strip('"')

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Reading:
        stored = self.stat(key)
        if stored is None:
            # The answer to a HEAD has no reason: this raises, also if there is no bucket.
            with _explained():
                _obstore().get(self._store, self._object_of(key))
            raise FileMissing(f"there is no file {key}")
        start, stop = span(stored.size, start, stop)
        return Reading(stored, start, stop, self._pieces(stored, start, stop))

    def _pieces(self, stored: StoredFile, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, _RANGE):
            # obstore repeats a request, but not the rest of an answer that ends early.
            yield _persisting(lambda at=at: self._piece(stored, at, min(at + _RANGE, stop)))  # type: ignore[misc]

    def _piece(self, stored: StoredFile, start: int, stop: int) -> bytes:
        with _explained():
            result = _obstore().get(self._store, self._object_of(stored.key), options={"range": (start, stop)})
            if _etag(result.meta) != stored.etag:
                raise FileMissing(f"the file {stored.key} was replaced while it was read")
            return bytes(result.bytes())

    def stat(self, key: str) -> StoredFile | None:
        try:
            with _explained():
                result = _obstore().get(self._store, self._object_of(check_key(key)), options={"head": True})
        except FileMissing:
            return None
        attributes, last = result.attributes, key.rpartition("/")[2]
        return _stored(
            key,
            result.meta,
            attributes.get("Content-Type") or content_type_of(last),
            name_in(attributes.get("Content-Disposition", "")) or last,
        )

    def delete(self, key: str) -> bool:
        try:
            with _explained():
                _obstore().delete(self._store, self._object_of(check_key(key)))
        except FileMissing:
            return False
        return True

    def list(self, prefix: str) -> Iterator[StoredFile]:
        check_key(prefix.rstrip("/"))
        pages = iter(_obstore().list(self._store, prefix, chunk_size=1000))
        while True:
            with _explained():
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                key = self._key_of(meta["path"])
                last = key.rpartition("/")[2]
                yield _stored(key, meta, content_type_of(last), last)

    def presigned(self, key: str, seconds: int = 300) -> str | None:
        return self._signed("GET", check_key(key), seconds) if self._presign else None

    def _signed(self, method: str, key: str, seconds: int) -> str:
        with _explained():
            return str(_obstore().sign(self._store, method, self._object_of(key), timedelta(seconds=seconds)))

    def close(self) -> None:
        self._pool.close()


def _azure_object(key: str) -> str:
    """Return the name of a key's object in Azure. obstore signs names as they are in URLs, Azure as they are: so they
    must have nothing that is encoded there."""
    return quote(key, safe="/()+,@").replace("%", "=")


#: The object of a key, and the key of an object.
_AZURE_NAMES: _Names = (_azure_object, lambda name: unquote(name.replace("=", "%")))
_NAMES: _Names = (str, str)


def _persisting(attempt: Callable[[], T]) -> T:
    """Repeat what fails for want of an answer."""
    for pause in islice(pauses(first=0.1), _ATTEMPTS - 1):
        try:
            return attempt()
        except StoreUnavailable:
            time.sleep(pause)
    return attempt()


def _obstore() -> Any:
    require("s3", "GOPHER_STORE")
    import obstore

    return obstore


def _opened(url: str, options: dict[str, str]) -> Any:
    _obstore()
    import obstore.store

    # Its types list every option.
    from_url: Any = obstore.store.from_url
    try:
        # A request is one range at most, so this is a least rate rather than a deadline.
        return from_url(
            url,
            client_options={"timeout": f"{_SILENCE:.0f}s", "connect_timeout": "10s", "allow_http": _is_plain(options)},
            retry_config={"max_retries": _ATTEMPTS - 1, "retry_timeout": timedelta(seconds=20)},
            **options,
        )
    except (ValueError, TypeError, _obstore().exceptions.BaseError) as error:
        raise ConfigurationError(f"GOPHER_STORE={url!r}: {_first_line(error)}") from None


def _is_plain(options: dict[str, str]) -> bool:
    import os

    endpoints = (*options.values(), os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_ENDPOINT", ""))
    return any(each.startswith("http://") for each in endpoints)


def _headers(url: str, size: int, content_type: str, disposition: str) -> dict[str | bytes, str | bytes]:
    usual: dict[str | bytes, str | bytes] = {"Content-Length": str(size), "Content-Type": content_type}
    if url.startswith("az:"):
        return {**usual, "x-ms-blob-type": "BlockBlob", "x-ms-blob-content-disposition": disposition}
    return {**usual, "Content-Disposition": disposition}


@contextmanager
def _as_file(content: BinaryIO | Iterable[bytes], limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """Yield content as a file, spooled if it isn't one, with its size, which a PUT needs first. Raises FileTooLarge."""
    if isinstance(content, io.IOBase | tempfile.SpooledTemporaryFile) and content.seekable():
        start = content.tell()
        size = content.seek(0, io.SEEK_END) - start
        content.seek(start)
        if size > limit:
            raise FileTooLarge(limit)
        yield content, size  # type: ignore[misc] # one that is opened for bytes
        return
    with tempfile.SpooledTemporaryFile(max_size=_RANGE) as file:
        for chunk in chunks_of(content, limit):
            file.write(chunk)
            reached("file.half")
        size = file.tell()
        file.seek(0)
        yield file, size  # type: ignore[misc] # typeshed's is no BinaryIO


def _sent(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
        reached("file.half")


def _beginning(response: httpcore.Response) -> str:
    """Return the beginning of an answer, which is the reason if it is an error."""
    text = b""
    for chunk in response.iter_stream():
        text += chunk[: 4096 - len(text)]
    return text.decode("utf-8", "replace")


def _stored(key: str, meta: Any, content_type: str, name: str) -> StoredFile:
    return StoredFile(key, meta["size"], _etag(meta), meta["last_modified"].timestamp(), content_type, name)


def _etag(meta: Any) -> str:
    return str(meta["e_tag"] or f"{meta['size']:x}-{meta['last_modified'].timestamp():.0f}").strip('"')


@contextmanager
def _explained() -> Iterator[None]:
    """Raise obstore's errors as ours."""
    errors = _obstore().exceptions
    try:
        yield
    except (FileNotFoundError, errors.BaseError) as error:
        raise _as_ours(error) from None


def _as_ours(error: Exception) -> StoreError:
    errors, text, reason = _obstore().exceptions, str(error), _reason(error)
    if any(each in text for each in _NO_BUCKET):
        return StoreRefused("the bucket of GOPHER_STORE does not exist", reason)
    if isinstance(error, FileNotFoundError):
        return FileMissing("there is no such file")
    # Of a list it is none of these two.
    denied = isinstance(error, errors.PermissionDeniedError | errors.UnauthenticatedError)
    if denied or reason.startswith(("401", "403")):
        return StoreRefused("the store for files refuses our credentials", reason)
    return StoreUnavailable("the store for files does not answer, or fails", reason)


def _reason(error: Exception) -> str:
    """Return the cause that an error of obstore, which has pages, names: the store's own words, if it said any."""
    text = str(error)
    status, said = _STATUS.search(text), _said(text)
    return " ".join(filter(None, (status and status[1].strip(), said))) if status or said else _first_line(error)


def _said(text: str) -> str:
    found = _ANSWER.search(text)
    return f"{found[1]}: {found[2]}" if found and found[2] else found[1] if found else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]

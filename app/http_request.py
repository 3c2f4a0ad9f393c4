"""A request's head, as gunicorn's WSGI code expects it."""

from typing import Any

from gunicorn.asgi.parser import PythonProtocol  # type: ignore[import-untyped]
from gunicorn.http.message import HeaderPolicy  # type: ignore[import-untyped]
from gunicorn.util import split_request_uri  # type: ignore[import-untyped]

from gopher.compat import apply_header_policy, take_expectation

from .lines import TYPES
from .refusals import Refused

#: Where files are uploaded, of any content type.
_FILES = "/api/v1/files"
_FORM = "multipart/form-data"


class Request(HeaderPolicy):  # type: ignore[misc]
    """Made from what gunicorn's incremental parser has read. Raises Refused, ParseException or ValueError."""

    #: gunicorn's WSGI code asks for it.
    proxy_protocol_info = None
    #: Set by gunicorn_conf: what may precede the paths of the API.
    base_path = ""

    def __init__(self, parser: PythonProtocol, cfg: Any, client: Any) -> None:
        self.cfg = cfg
        self.peer_addr = client
        self.scheme = "http"
        self.version: tuple[int, int] = parser.http_version
        self.method: str = parser.method.decode("ascii")
        self.uri: str = parser.path.decode("ascii")
        target = split_request_uri(self.uri)
        self.path: str = target.path
        self.query: str = target.query
        headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in parser.headers]
        if self.version >= (1, 1) and self._first(headers, "HOST") is None:
            raise Refused(400, "HTTP/1.1 requires a Host header")
        if target.netloc:
            # RFC 9112, section 3.2.2: the host of an absolute URL replaces the Host header.
            headers = [("HOST", target.netloc), *(each for each in headers if each[0] != "HOST")]
        self.headers: list[tuple[str, str]] = apply_header_policy(self, headers)
        self.must_close = not parser.should_keep_alive
        self.waits_for_continue = take_expectation(self)
        #: Set once there is something for a thread to do (bodies.py).
        self.body: Any = None
        if parser.is_chunked:
            self._check_codings()

    @property
    def given_id(self) -> str:
        """The client's own request id, "" without one."""
        return self._first(self.headers, "X-REQUEST-ID") or ""

    @property
    def is_of_lines(self) -> bool:
        """Whether the body is jobs as NDJSON, which are read as they arrive; not a file of that type."""
        return self._kind in TYPES and not self._is_for_files

    @property
    def is_upload(self) -> bool:
        """Whether the body is a file, or a form that may have some."""
        return self.method == "POST" and (self._is_for_files or self._kind == _FORM)

    @property
    def _is_for_files(self) -> bool:
        return self.path.removeprefix(self.base_path).rstrip("/") == _FILES

    @property
    def _kind(self) -> str:
        kind = self._first(self.headers, "CONTENT-TYPE") or ""
        return kind.partition(";")[0].strip().lower()

    def should_close(self) -> bool:
        # After CONNECT, a client sends anything but requests.
        return self.must_close or self.method == "CONNECT"

    def say_length(self, length: int) -> None:
        """Describe a chunked body to the application as one with a Content-Length."""
        headers = [each for each in self.headers if each[0] not in ("TRANSFER-ENCODING", "CONTENT-LENGTH")]
        self.headers = [*headers, ("CONTENT-LENGTH", str(length))]

    def _check_codings(self) -> None:
        """Reject compressed bodies, which gunicorn passes on as they are."""
        codings = ",".join(value.lower() for name, value in self.headers if name == "TRANSFER-ENCODING")
        if not {coding.strip() for coding in codings.split(",")} <= {"chunked", "identity"}:
            raise Refused(501, f"Transfer-Encoding {codings[:60]!r} is not supported: send only chunked")

    @staticmethod
    def _first(headers: list[tuple[str, str]], wanted: str) -> str | None:
        return next((value for name, value in headers if name == wanted), None)

"""Flask, without per-request work that this application does not need."""

from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask import Flask, Request, Response, g, request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter, RequestRedirect

from gopher.base.printable import printable

from .bodies import LONG, HeadOnly
from .operations import operation_of

#: How many host names are cached: clients use a few, but requests may contain any.
_HOSTS = 256


def _shown(value: Any) -> Any:
    """Escape control characters of a text that a template shows; what it has rendered itself is left alone."""
    return printable(value, keep="\n\t") if type(value) is str else value


class Application(Flask):
    """Overrides only what Flask documents as overridable; the responses are the same."""

    jinja_options = {"finalize": _shown}  # noqa: RUF012 - Flask declares it as an attribute of the class

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.session_interface = NoSessions()
        #: (scheme, Host header) -> the host as Flask normalizes it, and as its routes use it.
        self._hosts: dict[tuple[str, str], tuple[str, str]] = {}
        #: What changes the environment of each request first: what proxies say of the client, the base path.
        self.before_routing: list[Callable[[dict[str, Any]], None]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        for change in self.before_routing:
            change(environ)
        if isinstance(environ["wsgi.input"], HeadOnly):
            return self.check_head(environ)(environ, start_response)
        return self.wsgi_app(environ, start_response)

    def check_head(self, environ: dict[str, Any]) -> Response:
        """Run everything that precedes the view, for a request whose body has not been received yet.

        Return the response if the request is rejected; otherwise note in its body what the checks have found.
        """
        head: HeadOnly = environ["wsgi.input"]
        with self.request_context(environ):
            try:
                rejection = self.preprocess_request()
                if rejection is None and request.routing_exception is not None:
                    self.raise_routing_exception(request)
                if rejection is None and head.is_long:
                    self._check_length()
            except Exception as error:  # noqa: BLE001 - the error handlers handle it
                rejection = self.handle_user_exception(error)
            if rejection is not None:
                return self.process_response(self.make_response(rejection))
            head.checked = {name: g.get(name) for name in g}
            return self.response_class()

    def _check_length(self) -> None:
        """Reject long bodies of calls that are open to everyone, which need none: they would take room from others."""
        declared = operation_of(self, request.endpoint)
        if declared is not None and declared.role is None:
            raise RequestEntityTooLarge(f"the body for this URL is larger than {LONG} bytes")

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or hook unchanged: all are plain functions, which Flask would check with each call."""
        return func

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Redirect without scheme and host: only a proxy may know which of them the client has used."""
        error = request.routing_exception
        if isinstance(error, RequestRedirect):
            error.new_url = urlsplit(error.new_url)._replace(scheme="", netloc="").geturl()
        super().raise_routing_exception(request)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the URL adapter of a request. Normalizes each host name once rather than with each request."""
        if request is None:
            return super().create_url_adapter(None)
        environ = request.environ
        host, path = environ.get("HTTP_HOST"), environ.get("PATH_INFO")
        if not host or not path or environ.get("QUERY_STRING") or "HTTP_UPGRADE" in environ:
            return super().create_url_adapter(request)
        known = self._hosts.get((request.scheme, host))
        if known is None:
            return self._read_host(request, host)
        request.host, name = known
        # PEP 3333: the bytes of the path, decoded as Latin-1.
        path = path.encode("latin-1").decode(errors="replace")
        return MapAdapter(self.url_map, name, request.root_path, "", request.scheme, path, environ["REQUEST_METHOD"])

    def _read_host(self, request: Request, host: str) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if len(self._hosts) >= _HOSTS:
            self._hosts.clear()
        if adapter is not None:
            self._hosts[request.scheme, host] = (request.host, adapter.server_name)
        return adapter


class NoSessions(SessionInterface):
    """No Flask sessions: the dashboard has its own cookie (dashboard/gate.py)."""

    def __init__(self) -> None:
        self._none = self.null_session_class()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return self._none

"""Flask, without per-request work that this application does not need."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter

#: How many host names are cached: clients use a few, but requests may contain any.
_HOSTS = 256


class Application(Flask):
    """Overrides only what Flask documents as overridable; the responses are the same."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.session_interface = NoSessions()
        #: (scheme, Host header) -> the host as Flask normalizes it, and as its routes use it.
        self._hosts: dict[tuple[str, str], tuple[str, str]] = {}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or hook unchanged: all are plain functions, which Flask would check with each call."""
        return func

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

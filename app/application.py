"""Flask, without what it does for each request that this application has no use for."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter

#: Names of the API that are remembered: clients call it by a few, strangers may send any.
_HOSTS = 256


class Application(Flask):
    """Each of these is what Flask says may be overridden; the answers are the same."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.session_interface = NoSessions()
        #: Scheme, `Host` as it was sent -> that host as Flask reads it, and as its routes do.
        self._hosts: dict[tuple[str, str], tuple[str, str]] = {}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a view or hook as it is: all are plain functions. Flask looks whether each is, at each call."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route of a request. Reads the name of a host once, not with each request for it."""
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
        # PEP 3333: the bytes of the path, read as Latin-1.
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
    """The dashboard has a cookie of its own (dashboard/gate.py)."""

    def __init__(self) -> None:
        self._none = self.null_session_class()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return self._none

"""The context of views: this process's clients, the job types, permits to wait."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Request, current_app, request

from gopher.client import Client
from gopher.compat import current
from gopher.config.settings import Settings
from gopher.jobs.registry import Registry

from .capacity import BULKS, CONFIRMING, CONNECTIONS, PROBE_TIMEOUT, REDIS_TIMEOUT, WAITERS
from .keyring import Keyring


class Context:
    """One per process. Clients are created on first use, thus after the fork."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.registry = registry
        self.keyring = Keyring(settings, lambda: self.doorkeeper.server)
        self._lock = threading.Lock()
        self._owner = 0
        self._clients: dict[str, Client] = {}
        self._permits = threading.BoundedSemaphore(WAITERS)
        self._bulk_permits = threading.BoundedSemaphore(BULKS)

    @property
    def client(self) -> Client:
        return self._client("api", REDIS_TIMEOUT, CONNECTIONS, auto_pipelining=True)

    @property
    def probe(self) -> Client:
        """A client with a short timeout and its own connection: probes respond while all others hang."""
        return self._client("probe", PROBE_TIMEOUT, 1)

    @property
    def doorkeeper(self) -> Client:
        """A client that reads API keys and counts requests, with a short timeout, so that neither delays a request."""
        return self._client("doorkeeper", PROBE_TIMEOUT, 2)

    @contextmanager
    def permit_to_wait(self) -> Iterator[bool]:
        """Yield whether this request may wait: some threads always stay free."""
        with _permit(self._permits) as permitted:
            yield permitted

    @contextmanager
    def permit_for_bulk(self) -> Iterator[bool]:
        """Yield whether this request may send an NDJSON body now."""
        with _permit(self._bulk_permits) as permitted:
            yield permitted

    def _client(self, name: str, timeout: float, connections: int, *, auto_pipelining: bool = False) -> Client:
        with self._lock:
            if self._owner != os.getpid():
                self._owner, self._clients = os.getpid(), {}
            if name not in self._clients:
                settings = replace(self.settings, redis_timeout=min(self.settings.redis_timeout, timeout))
                self._clients[name] = Client(
                    settings=settings,
                    registry=self.registry,
                    connections=connections,
                    auto_pipelining=auto_pipelining,
                    confirming_threads=CONFIRMING,
                )
                self._clients[name].server.part = "API"
            return self._clients[name]


@contextmanager
def _permit(permits: threading.BoundedSemaphore) -> Iterator[bool]:
    permitted = permits.acquire(blocking=False)
    try:
        yield permitted
    finally:
        if permitted:
            permits.release()


def current_request() -> Request:
    """Return the current request itself: Flask's `request` proxy looks it up with each use."""
    found: Request = current(request)
    return found


def context() -> Context:
    """Return the context of the current application."""
    found: Context = current_app.extensions["gopher"]
    return found


def gopher() -> Client:
    """Return the client of this process."""
    return context().client

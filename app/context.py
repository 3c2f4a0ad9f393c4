"""What views work with: the client of this process, the job types, permits to wait."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Request, current_app, request

from gopher.client import Client
from gopher.compat import current
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry

from .capacity import BULKS, CONNECTIONS, PROBE_TIMEOUT, REDIS_TIMEOUT, WAITERS


class Context:
    """One a process. Clients are made when they are first used: after the fork, and anew in each process."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.registry = registry
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
        """A client that gives up early, with a connection of its own: probes answer while all others hang."""
        return self._client("probe", PROBE_TIMEOUT, 1)

    @property
    def doorkeeper(self) -> Client:
        """A client to count requests with, which gives up early: no request is held up for being counted."""
        return self._client("doorkeeper", PROBE_TIMEOUT, 2)

    @contextmanager
    def permit_to_wait(self) -> Iterator[bool]:
        """Say whether this request may wait: never all threads do."""
        with _permit(self._permits) as permitted:
            yield permitted

    @contextmanager
    def permit_for_bulk(self) -> Iterator[bool]:
        """Say whether this request may send a body of lines now."""
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
                )
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
    """Return the current request itself: Flask's `request` looks for it again at each use."""
    found: Request = current(request)
    return found


def context() -> Context:
    """Return the context of the application that serves the current request."""
    found: Context = current_app.extensions["gopher"]
    return found


def gopher() -> Client:
    """Return the client to serve the current request with."""
    return context().client

"""The client of tasks: one for each process, made of the environment when it is first needed, or a configured one."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gopher.errors import ConfigurationError

if TYPE_CHECKING:
    from gopher.interface import Gopher

    #: A client, or what makes one in each process that needs it.
    Source = Gopher | Callable[[], Gopher]

# Reentrant, since what makes a client may import an application that configures one.
_lock = threading.RLock()
_source: "Source | None" = None
_made: "Gopher | None" = None
#: Clients of tests, the innermost last.
_instead: list["Gopher"] = []


def configure(client: "Source | None") -> None:
    """Set the client by which tasks are submitted: a `Client`, an `HttpClient`, or a function that returns one.

    A function is called once in each process, when a task is first submitted there. Without this call, or with None, it
    is `Client()`, which reads `REDIS_URL` and `GOPHER_NAMESPACE`.
    """
    global _source, _made
    if client is not None and not callable(client):
        check_client(client)
    with _lock:
        _source, _made = client, None


def default_client() -> "Gopher":
    """Return the client by which tasks are submitted."""
    global _made  # noqa: PLW0603
    if _instead:
        return _instead[-1]
    found = _made
    if found is None:
        with _lock:
            found = _made = _made or _make()
    return found


@contextmanager
def submitting_by(client: "Gopher") -> Iterator[None]:
    """Submit tasks by another client for a while, in all threads, whatever is configured meanwhile."""
    _instead.append(client)
    try:
        yield
    finally:
        _instead.remove(client)


def _make() -> "Gopher":
    if _source is None:
        # Only now: a module of tasks should be cheap to import.
        from gopher.client import Client

        return Client()
    return check_client(_source()) if callable(_source) else _source


def check_client(client: "Gopher") -> "Gopher":
    """Return a client of tasks. Raises ConfigurationError for what is none, also an AsyncClient: its calls are awaited,
    and a job that `delay` does not await would never be submitted."""
    from gopher.interface import Gopher

    if not isinstance(client, Gopher):
        raise ConfigurationError(
            f"tasks can't be submitted by {client!r:.80}: expected a Client or an HttpClient; with an AsyncClient, "
            "write `await client.enqueue_many([send_mail.job(...)])`"
        )
    return client


def _forget() -> None:
    """In a forked process: connections are its parent's."""
    global _lock, _made
    _lock, _made = threading.RLock(), None


os.register_at_fork(after_in_child=_forget)

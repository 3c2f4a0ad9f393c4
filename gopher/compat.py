"""All uses of private parts of libraries.

Each function documents why there is no public way, and has a test in tests/frame/test_compat.py that fails once the
library has changed. Nothing is imported from the libraries: functions get their objects as arguments.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from multiprocessing import forkserver, resource_tracker
from typing import Any


def socket_of(connection: Any) -> socket.socket:
    """Return the socket of a connected redis-py connection.

    redis-py shows it in no public way. The event loops wait for its descriptor, and the kernel keeps its timeouts:
    with Python's an enqueue took 129 us instead of 111 (`make bench`, trips).
    """
    found: socket.socket = connection._sock
    return found


def next_reply(connection: Any) -> Any:
    """Return the next reply on a redis-py connection; an error reply is returned, not raised.

    Its own `read_response` has the text of each error that may come ready before it reads, and raises error replies:
    0.5 us instead of 0.2 of the 20 that an enqueue takes in its caller (`make bench`, trips).
    """
    return connection._parser.read_response()


def free_places(pool: Any) -> int:
    """Return how many connections redis-py's BlockingConnectionPool can hand out without waiting.

    Its queue has no underscore, but no documentation either; `get_connection` waits where one wants to know.
    """
    return int(pool.pool.qsize())


def find_slots(cluster: Any) -> None:
    """Make redis-py's RedisCluster refresh its slots. Raises what redis-py raises.

    By itself it does so only when a command of its own is redirected; our scripts go past its commands.
    """
    cluster.nodes_manager.initialize()


def environment() -> dict[Any, Any]:
    """Return the mapping below `os.environ`, as the system has it: to be compared, not changed.

    A child compares it after each job. That takes 0.3 us, and 13 us with `dict(os.environ)` (`make bench`, drain).
    """
    found: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
    return found


#: Whether OpenTelemetry creates a provider by itself on request.
_NAMED_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ


def may_have_provider(trace: Any) -> bool:
    """Return whether OpenTelemetry's module `trace` has a provider of tracers, or would make one; True if in doubt.

    While there is none, `get_tracer_provider()` looks into the environment each time: 0.7 us instead of 0.04 of the 23
    that an enqueue takes in its caller (`make bench`, trips). redis-py loads the module whether or not it is used.
    """
    return _NAMED_PROVIDER or getattr(trace, "_TRACER_PROVIDER", trace) is not None


def current(proxy: Any) -> Any:
    """Return the current object of one of Flask's proxies (`request`, `g`, `current_app`).

    Flask documents it ("Notes On Proxies") under a private name. A proxy looks for its object at each use, which added
    up to a quarter of a submission's time (`make bench`, submissions over HTTP).
    """
    return proxy._get_current_object()


def take_expectation(request: Any) -> bool:
    """Return whether a request of gunicorn's parser waits for `100 Continue`, and have gunicorn not send it.

    gunicorn sends it when the body is first read, in the thread that answers; here the loop reads the body before.
    """
    expected = bool(request._expected_100_continue)
    request._expected_100_continue = False
    return expected


def thread_counter() -> Callable[[], int]:
    """Return Python's function that counts the threads which it has started, besides the main one.

    `threading.active_count()` takes a lock, and knows none of `_thread.start_new_thread`. A child asks after each job.
    """
    return _thread._count


def event_loop_policy(events: Any) -> Any:
    """Return the policy of the module `asyncio.events`, None while there is none.

    `get_event_loop_policy()` would make one, and is deprecated. A child asks after each job.
    """
    return events._event_loop_policy


def put_event_loop_policy(events: Any, policy: Any) -> None:
    """Put a policy of the module `asyncio.events` back; `set_event_loop_policy()` is deprecated."""
    events._event_loop_policy = policy


def helpers_of_multiprocessing() -> set[int | None]:
    """Return the processes that `multiprocessing` keeps for itself: nothing tells their ids without starting them."""
    tracker: Any = resource_tracker._resource_tracker
    server: Any = forkserver._forkserver
    return {tracker._pid, server._forkserver_pid}


def interpreter_flags() -> list[str]:
    """Return the options with which this Python was started, for another one: `multiprocessing` does it so too."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


#: `signal.getsignal` and `signal.pthread_sigmask` without the enums that they make of what these return. A child asks
#: for all handlers and the mask after each job: 4 instead of 18 microseconds.
signal_handler: Callable[[int], Any] = _signal.getsignal
signal_mask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask

"""All uses of private parts of libraries.

Each function documents why there is no public way, and has a test in tests/frame/test_compat.py that fails once the
library has changed. Nothing is imported from the libraries: functions get their objects as arguments.
"""

import _signal  # type: ignore[import-not-found]
import _thread
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any


def socket_of(connection: Any) -> socket.socket:
    """Return the socket of a connected redis-py connection.

    redis-py shows it in no public way. The event loops wait for its descriptor, and the kernel keeps its timeouts:
    with Python's an enqueue took 129 us instead of 111 (`make bench`, trips).
    """
    found: socket.socket = connection._sock
    return found


def replace_socket(connection: Any, replacement: socket.socket) -> None:
    """Make a redis-py connection use another socket, before it has sent anything.

    Its own TLS connections create a context for each, and with it read all certificates of authorities; and they can't
    be told to expect another name than the host's.
    """
    connection._sock = replacement


def next_reply(connection: Any) -> Any:
    """Return the next reply on a redis-py connection; an error reply is returned, not raised.

    Its own `read_response` has the text of each error that may come ready before it reads, and raises error replies:
    0.5 us instead of 0.2 of the 20 that an enqueue takes in its caller (`make bench`, trips).
    """
    return connection._parser.read_response()


def error_parser(connection: Any) -> Callable[[str], Exception]:
    """Return redis-py's function that makes an exception of the text of an error reply.

    Channels of asyncio read replies themselves, and errors have to be the same there; redis-py's own reader for asyncio
    goes with its connections for asyncio, and exports no such function either.
    """
    found: Callable[[str], Exception] = connection._parser.parse_error
    return found


def free_places(pool: Any) -> int:
    """Return how many connections redis-py's BlockingConnectionPool can hand out without waiting.

    Its queue has no underscore, but no documentation either; `get_connection` waits where one wants to know.
    """
    return int(pool.pool.qsize())


def hold_weakly(pool: Any, held: Any) -> None:
    """Make a redis-py pool remember the connections that it has made, or that are in use, in `held`.

    Its own list and set would keep what an interrupted call has lost. `held` has the methods of both that pools use.
    """
    # Which one there is depends on the kind of the pool.
    for name in ("_connections", "_in_use_connections"):
        if hasattr(pool, name):
            setattr(pool, name, held)


def add_places(pool: Any, count: int) -> None:
    """Let redis-py's BlockingConnectionPool hand out more connections: its places are entries of a queue."""
    for _ in range(count):
        pool.pool.put_nowait(None)


def find_slots(cluster: Any) -> None:
    """Make redis-py's RedisCluster refresh its slots. Raises what redis-py raises.

    By itself it does so only when a command of its own is redirected; our scripts go past its commands.
    """
    cluster.nodes_manager.initialize()


def node_pools(cluster: Any) -> set[Any]:
    """Return the connection pools of all nodes that redis-py's RedisCluster uses now.

    It drops nodes that have left the cluster without closing the connections to them.
    """
    nodes = (*cluster.get_nodes(), *cluster.nodes_manager.startup_nodes.values())
    return {node.redis_connection.connection_pool for node in nodes if node.redis_connection is not None}


def environment() -> dict[Any, Any]:
    """Return the mapping below `os.environ`, as the system has it: to be compared, not changed.

    A child compares it after each job. That takes 0.3 us, and 13 us with `dict(os.environ)` (`make bench`, drain).
    """
    found: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
    return found


def set_return_value(result: Any, value: Any) -> None:
    """Set the value that a task of Django returned in its TaskResult.

    Django's own backends do it like this: the class is frozen, and the field can't be given when one is made. Its test
    is that of the backend, in tests/frameworks: `make test` runs without Django.
    """
    object.__setattr__(result, "_return_value", value)


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


def apply_header_policy(request: Any, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a request that gunicorn's HeaderPolicy, its base, keeps; the policy may change its scheme.

    gunicorn's parsers apply it to what they have parsed; its incremental parser leaves it to who uses the parser.
    """
    secure_schemes, forwarders = request._peer_trusted_for_forwarded()
    state, seen = [False], set[str]()
    kept = (
        request._apply_header_policy(name, value, state, seen, secure_schemes, forwarders) for name, value in headers
    )
    return [each for each in kept if each is not None]


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
    """Return the processes that `multiprocessing` keeps for itself: nothing tells their ids without starting them.

    A part of it that has not been imported has started none.
    """
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    server: Any = sys.modules.get("multiprocessing.forkserver")
    return {tracker and tracker._resource_tracker._pid, server and server._forkserver._forkserver_pid}


def interpreter_flags() -> list[str]:
    """Return the options with which this Python was started, for another one: `multiprocessing` does it so too."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


#: `signal.getsignal` and `signal.pthread_sigmask` without the enums that they make of what these return. A child asks
#: for all handlers and the mask after each job: 4 instead of 18 microseconds.
signal_handler: Callable[[int], Any] = _signal.getsignal
signal_mask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask

"""Private parts of libraries: each that is used is still what we take it for, and no other is used."""

import ast
import importlib
import inspect
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gopher import compat

from .test_layers import PARTS, module_of

#: gunicorn's threaded worker is extended from within; that goes with the file.
_LEFT_OUT = {"app/gunicorn_worker.py"}
#: With an underscore, and documented all the same: of named tuples and enums, and to leave a forked process.
_PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace", "_value_"}
#: Of libraries, whichever class of ours has one of the same name.
_THEIRS = {
    "_apply_header_policy",
    "_data",
    "_expected_100_continue",
    "_get_current_object",
    "_parser",
    "_peer_trusted_for_forwarded",
    "_sock",
    "_TRACER_PROVIDER",
}
#: Functions that take the name of an attribute.
_BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter"}
#: Without an underscore, and in no library's documents.
_UNDOCUMENTED = {"nodes_manager", "scan_once"}


def test_redis_py_keeps_the_socket_of_a_connection_in_sock(server):
    from redis.connection import UnixDomainSocketConnection

    connection = UnixDomainSocketConnection(path=str(server.socket_path))
    connection.connect()
    try:
        found = compat.socket_of(connection)
        assert isinstance(found, socket.socket)
        assert found.getpeername() == str(server.socket_path)
    finally:
        connection.disconnect()
    assert not connection.is_connected


def test_redis_pys_parser_makes_the_same_errors_of_texts(server):
    from redis.connection import UnixDomainSocketConnection
    from redis.exceptions import NoScriptError, ResponseError

    connection = UnixDomainSocketConnection(path=str(server.socket_path), protocol=2)
    assert isinstance(compat.error_parser(connection)("NOSCRIPT No matching script"), NoScriptError)
    assert type(compat.error_parser(connection)("OTHER error")) is ResponseError


def test_redis_pys_parser_returns_each_reply_an_error_too_and_reads_no_further(server):
    from redis.connection import UnixDomainSocketConnection
    from redis.exceptions import ResponseError

    connection = UnixDomainSocketConnection(path=str(server.socket_path), protocol=2)
    connection.connect()
    try:
        for words in (("ECHO", "one"), ("NOSUCHCOMMAND",), ("LRANGE", "nothing", "0", "-1"), ("ECHO", "two")):
            connection.send_command(*words)
        assert compat.next_reply(connection) == b"one"
        assert isinstance(compat.next_reply(connection), ResponseError)
        assert compat.next_reply(connection) == []
        assert connection.is_connected
        assert compat.next_reply(connection) == b"two"
    finally:
        connection.disconnect()


def test_a_connection_of_redis_py_uses_the_socket_that_it_is_given_before_it_sends_anything(server):
    from redis.connection import UnixDomainSocketConnection

    class Replacing(UnixDomainSocketConnection):
        def on_connect_check_health(self, *arguments: object, **named: object) -> None:
            self.replaced = compat.socket_of(self)
            replacement = socket.socket(socket.AF_UNIX)
            replacement.connect(str(server.socket_path))
            compat.replace_socket(self, replacement)
            super().on_connect_check_health(*arguments, **named)

    # Selecting a database is the first thing that it sends.
    connection = Replacing(path=str(server.socket_path), db=1, protocol=2)
    connection.connect()
    try:
        connection.replaced.close()
        connection.send_command("ECHO", "one")
        assert connection.read_response() == b"one"
    finally:
        connection.disconnect()


def test_redis_pys_blocking_pool_keeps_its_places_in_a_queue(server):
    from redis.connection import BlockingConnectionPool, UnixDomainSocketConnection

    pool = BlockingConnectionPool(
        max_connections=2, connection_class=UnixDomainSocketConnection, path=str(server.socket_path)
    )
    assert compat.free_places(pool) == 2
    taken = [pool.get_connection(), pool.get_connection()]
    assert compat.free_places(pool) == 0
    for each in taken:
        pool.release(each)
    assert compat.free_places(pool) == 2
    taken = [pool.get_connection(), pool.get_connection()]
    compat.add_places(pool, 1)
    assert compat.free_places(pool) == 1
    pool.disconnect()
    assert not any(each.is_connected for each in taken)


@pytest.mark.parametrize("kind", ["ConnectionPool", "BlockingConnectionPool"])
def test_redis_pys_pools_disconnect_what_is_in_use_by_what_they_remember(server, kind):
    import redis.connection

    from gopher.server.made_connections import MadeConnections

    pool = getattr(redis.connection, kind)(
        max_connections=2, connection_class=redis.connection.UnixDomainSocketConnection, path=str(server.socket_path)
    )
    held = MadeConnections()
    compat.hold_weakly(pool, held)
    taken = [pool.get_connection(), pool.get_connection()]
    assert set(held) == set(taken)
    pool.disconnect()
    assert not any(each.is_connected for each in taken)
    for each in taken:
        pool.release(each)


def test_redis_pys_cluster_looks_up_its_slots_when_it_is_told_to():
    from redis.cluster import NodesManager, RedisCluster

    asked = []

    class Nodes(NodesManager):
        def __init__(self) -> None:
            pass

        def initialize(self, *arguments: object, **named: object) -> None:
            asked.append("initialize")

    assert "self.nodes_manager = NodesManager(" in inspect.getsource(RedisCluster.__init__)
    assert all(each.default is not each.empty for each in _parameters(NodesManager.initialize))
    cluster = RedisCluster.__new__(RedisCluster)
    cluster.nodes_manager = Nodes()
    compat.find_slots(cluster)
    assert asked == ["initialize"]


def test_redis_pys_nodes_of_a_cluster_have_clients_with_pools():
    from redis.client import Redis
    from redis.cluster import ClusterNode, NodesManager, RedisCluster

    known, startup, unused = (ClusterNode("127.0.0.1", port) for port in (7000, 7001, 7002))
    for node in (known, startup):
        node.redis_connection = Redis(port=node.port)
    cluster = RedisCluster.__new__(RedisCluster)
    cluster.nodes_manager = NodesManager.__new__(NodesManager)
    cluster.nodes_manager.nodes_cache = {known.name: known, unused.name: unused}
    cluster.nodes_manager.startup_nodes = {startup.name: startup}
    assert compat.node_pools(cluster) == {node.redis_connection.connection_pool for node in (known, startup)}


def _parameters(function: object) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]  # type: ignore[arg-type]


def test_python_keeps_the_environment_in_a_mapping_that_follows_each_change(monkeypatch):
    monkeypatch.setenv("GOPHER_TEST_COMPAT", "one")
    before = dict(compat.environment())
    assert before == {os.environ.encodekey(name): os.environ.encodevalue(value) for name, value in os.environ.items()}
    assert before == os.environb.copy()
    os.environb[b"GOPHER_TEST_COMPAT"] = b"two"
    assert compat.environment() != before
    monkeypatch.setenv("GOPHER_TEST_COMPAT", "one")
    assert compat.environment() == before


def test_python_counts_the_threads_that_it_has_started_below_threading_too():
    # In a process of its own: here, threads of tests before may end at any moment.
    program = (
        "import _thread, threading; from gopher import compat; from tests.helpers import wait_until\n"
        "count, end = compat.thread_counter(), threading.Event()\n"
        "before = count()\n"
        "_thread.start_new_thread(end.wait, ())\n"
        "wait_until(lambda: count() == before + 1)\n"
        "end.set()\n"
        "wait_until(lambda: count() == before)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, timeout=240)


def test_asyncio_keeps_its_policy_in_a_variable_that_is_none_until_there_is_one():
    program = (
        "import asyncio; from gopher import compat; events = asyncio.events\n"
        "assert compat.event_loop_policy(events) is None\n"
        "async def run(): pass\n"
        "asyncio.run(run())\n"
        "policy = compat.event_loop_policy(events)\n"
        "assert policy is not None\n"
        "compat.put_event_loop_policy(events, None)\n"
        "asyncio.run(run())\n"
        "assert compat.event_loop_policy(events) not in (None, policy)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_multiprocessing_keeps_the_processes_that_help_it():
    program = (
        "import os; from gopher import compat; from multiprocessing import get_context\n"
        "assert compat.helpers_of_multiprocessing() == {None}\n"
        "if __name__ == '__main__':\n"
        "    get_context('spawn').Lock()\n"
        "    (pid,) = compat.helpers_of_multiprocessing() - {None}\n"
        "    os.kill(pid, 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_python_has_signal_functions_that_make_no_enums():
    assert compat.signal_handler(signal.SIGTERM) == signal.getsignal(signal.SIGTERM)
    assert type(compat.signal_handler(signal.SIGUSR1)) is int
    before = compat.signal_mask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        assert compat.signal_mask(signal.SIG_BLOCK, ()) == before | {int(signal.SIGUSR1)}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_subprocess_tells_the_options_that_python_was_started_with():
    program = "from gopher import compat; print(compat.interpreter_flags())"
    command = [sys.executable, "-X", "utf8", "-W", "error", "-c", program]
    told = subprocess.check_output(command, text=True, timeout=120)
    assert "-Werror" in told
    assert "-X', 'utf8" in told


def test_opentelemetry_keeps_its_provider_in_a_variable_that_is_none_until_there_is_one():
    show = (
        "from opentelemetry import trace; from gopher.compat import may_have_provider as may;"
        "print(vars(trace)['_TRACER_PROVIDER'], may(trace)); trace.get_tracer_provider(); print(may(trace));"
        "from opentelemetry.sdk.trace import TracerProvider;"
        "trace.set_tracer_provider(TracerProvider()); print(may(trace))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    for named, expected in (({}, "None False False True"), ({"OTEL_PYTHON_TRACER_PROVIDER": "x"}, "None True")):
        ran = subprocess.run(
            [sys.executable, "-c", show], env={**environ, **named}, capture_output=True, text=True, check=False
        )
        assert " ".join(ran.stdout.split()) == expected, ran.stderr


def test_flask_returns_the_object_behind_a_proxy():
    from flask import Flask, current_app, g, request
    from flask.ctx import _AppCtxGlobals

    app = Flask("compat")
    with app.test_request_context("/where"):
        assert compat.current(current_app) is app
        assert compat.current(request).path == "/where"
        assert type(compat.current(g)) is _AppCtxGlobals


class Head:
    """What gunicorn's HeaderPolicy needs of a request."""

    def __new__(cls, peer="127.0.0.1"):
        from gunicorn.config import Config
        from gunicorn.http.message import HeaderPolicy

        head = HeaderPolicy()
        head.cfg, head.peer_addr, head.scheme, head.version = Config(), (peer, 1), "http", (1, 1)
        return head


@pytest.mark.parametrize(("value", "expected"), [("100-continue", True), ("", False)])
def test_gunicorn_notes_in_a_request_that_100_continue_is_expected(value, expected):
    head = Head()
    compat.apply_header_policy(head, [("EXPECT", value)] if value else [])
    assert compat.take_expectation(head) is expected
    assert compat.take_expectation(head) is False
    assert vars(head)["_expected_100_continue"] is False
    assert "req._expected_100_continue" in inspect.getsource(importlib.import_module("gunicorn.http.wsgi"))


def test_gunicorns_header_policy_drops_what_could_pass_for_another_header_and_believes_only_proxies():
    from gunicorn.http.errors import ExpectationFailed, InvalidHeader

    for headers, error in (
        ([("HOST", "a"), ("HOST", "b")], InvalidHeader),
        ([("EXPECT", "200-ok")], ExpectationFailed),
    ):
        with pytest.raises(error):
            compat.apply_header_policy(Head(), headers)
    assert compat.apply_header_policy(Head(), [("X_FORWARDED_FOR", "x"), ("A", "b")]) == [("A", "b")]
    for peer, scheme in (("127.0.0.1", "https"), ("192.0.2.1", "http")):
        head, headers = Head(peer), [("X-FORWARDED-PROTO", "https"), ("HOST", "a")]
        assert compat.apply_header_policy(head, headers) == headers
        assert head.scheme == scheme


def sources(root: Path) -> Iterator[Path]:
    for folder in ("gopher", *PARTS):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if name not in _LEFT_OUT and name != "gopher/compat.py":
                yield path


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name != "_"


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the private names that a file makes itself: functions, classes, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            yield node.attr


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def attributes(tree: ast.AST) -> Iterator[tuple[int, ast.expr, str]]:
    """Yield line, object and name of each attribute that is asked for, also by `getattr` and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.value, node.attr
        elif isinstance(node, ast.Call) and last_name(node.func) in _BY_NAME:
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from ((node.lineno, node.args[0], str(name)) for name in names if str(name).isidentifier())


def last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def private_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the private modules and names that a file imports; of our own only what another folder keeps to itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if any(is_private(part) for part in name.split(".")))


def private_uses(tree: ast.AST, own: set[str]) -> list[str]:
    """Return what a file uses of others' private parts. `own` are private names that Gopher's classes have."""
    here = {name for name in defined(tree) if is_private(name)}
    found = [(line, name) for line, name in private_imports(tree)]
    found += [
        (line, f"{ast.unparse(of)}.{name}")
        for line, of, name in attributes(tree)
        if name in _UNDOCUMENTED or (is_private(name) and not is_own(of, name, here, own))
    ]
    return [f"{line}: {name}" for line, name in sorted(found)]


def is_own(of: ast.expr, name: str, here: set[str], own: set[str]) -> bool:
    if is_self(of):
        return name in here | own
    return name in _PUBLIC or (name in here and name not in _THEIRS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def read(connection): return connection._sock", ["1: connection._sock"]),
        ("def read(connection): return getattr(connection, '_sock')", ["1: connection._sock"]),
        ("import _signal", ["1: _signal"]),
        ("from redis._parsers import base", ["1: redis._parsers.base"]),
        ("from os import _exists", ["1: os._exists"]),
        ("scan = json.JSONDecoder().scan_once", ["1: json.JSONDecoder().scan_once"]),
        ("class A(B):\n    def run(self): return super()._connect()", ["2: super()._connect"]),
        ("class A:\n    def __init__(self): self._a = 1\n    def same(self, other): return other._a == self._a", []),
        ("class A:\n    def __init__(self, other): self._sock = other._sock", ["2: other._sock"]),
        ("from __future__ import annotations\nimport os\nos._exit(1)", []),
        ("def f(share): return share._replace(count=1)", []),
    ],
)
def test_uses_of_private_parts_are_found(source, found):
    assert private_uses(ast.parse(source), set()) == found


def test_private_parts_of_libraries_are_used_in_compat_only(root):
    trees = {path: ast.parse(path.read_text()) for path in sources(root)}
    own = {name for tree in trees.values() for name in defined(tree) if is_private(name)}
    wrong = [f"{path.relative_to(root)}:{use}" for path, tree in trees.items() for use in private_uses(tree, own)]
    assert not wrong, "private parts of libraries stand in gopher/compat.py, each with its reason and a test"


def classes_of_others(root: Path) -> Iterator[tuple[type, list[type], list[type]]]:
    """Yield each class of ours that extends a library's, with those of its bases that are ours, and the others."""
    for path in sources(root):
        # The second kind registers handlers, which other tests of this process would see in the API.
        if path.stem == "__main__" or path.stem.endswith("_handlers") or path in needing_a_project(root):
            continue
        module = importlib.import_module(module_of(root, path))
        for each in vars(module).values():
            if isinstance(each, type) and each.__module__ == module.__name__:
                ours = [base for base in each.__mro__ if base.__module__.startswith("gopher")]
                others = [base for base in each.__mro__ if base not in ours and base.__module__ not in _LANGUAGE]
                if others:
                    yield each, ours, others


def needing_a_project(root: Path) -> set[Path]:
    """Return modules that can be imported within a project of their framework only (tests/frameworks)."""
    folder = root / "gopher" / "integrations"
    return {folder / "sqlalchemy.py", folder / "flask" / "handlers.py", *(folder / "django").rglob("*.py")}


_LANGUAGE = ("abc", "builtins", "enum", "typing")


@cache
def private_state(of: type) -> frozenset[str]:
    """Return the private names that a class has; none if it has no source."""
    try:
        named = attributes_of_self(inspect.getsourcefile(of) or "")[of.__qualname__]
    except (OSError, TypeError, KeyError):
        return frozenset()
    return frozenset(name for name in named | vars(of).keys() if is_private(name) and not name.startswith("_abc_"))


@cache
def attributes_of_self(file: str) -> dict[str, frozenset[str]]:
    """Return what the classes of a file, by their qualified names, have as attributes of `self`.

    Of all at once: `inspect.getsource` reads all of the file for each class.
    """
    found: dict[str, frozenset[str]] = {}

    def look(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                inner = (each for each in ast.walk(child) if isinstance(each, ast.Attribute) and is_self(each.value))
                found[within + child.name] = frozenset(each.attr for each in inner)
                look(child, f"{within}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                look(child, f"{within}{child.name}.<locals>.")
            elif isinstance(child, ast.stmt | ast.ExceptHandler):
                look(child, within)

    look(ast.parse(Path(file).read_bytes()), "")
    return found


def test_no_class_of_ours_overrides_or_shares_a_private_part_of_a_librarys(root):
    looked_at, wrong = 0, []
    for each, ours, others in classes_of_others(root):
        looked_at += 1
        # `typing` gives the first to what inherits from a protocol, as redis-py's commands do.
        own = set().union(*map(private_state, ours)) - {"_is_protocol", "_is_runtime_protocol"}
        for base in others:
            wrong += [
                f"{each.__module__}.{each.__name__}: {name} of {base.__name__}" for name in own & private_state(base)
            ]
    assert looked_at > 10
    assert not wrong

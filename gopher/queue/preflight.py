"""Preflight checks of a process: whether the server can store jobs safely.

A process starts even if the server is unavailable, starting or busy, and waits for it. It does not start if the server
would lose jobs, or does not permit what Gopher needs.
"""

import uuid
from typing import Any

from gopher.errors import ConfigurationError, ServerError
from gopher.server.errors import explained
from gopher.telemetry.logs import get_logger

from .store import Server

OLDEST_SERVER = (6, 2)
#: Version of the data in the server. Code with an older schema does not start.
SCHEMA = 1

log = get_logger("start")


def check_server(server: Server) -> None:
    """Raise ConfigurationError if the server is unusable; log a warning and continue if it is unavailable."""
    try:
        _check_version(server)
        _check_eviction(server)
        _check_schema(server)
    except ConfigurationError:
        raise
    except ServerError as error:
        log.warning("the server is unavailable; waiting for it", error=str(error))


def _check_version(server: Server) -> None:
    with explained():
        info: dict[str, Any] = one_node(server.client.info("server"))
    version = str(info.get("redis_version", "0"))
    if version_of(version) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise ConfigurationError(f"the server is version {version}: Gopher requires Redis {oldest} or later, or Valkey")


def _check_eviction(server: Server) -> None:
    policies = {each.get("maxmemory_policy") for each in _memory_of_each_node(server)}
    policy = next(iter(policies - {"noeviction"}), None)
    if None in policies:
        log.warning("can't read maxmemory-policy: make sure that it is noeviction, otherwise the server may drop jobs")
    if policy is not None:
        raise ConfigurationError(
            f"the server's maxmemory-policy is {policy}: it would silently drop jobs when memory runs out. "
            "Set it to noeviction: CONFIG SET maxmemory-policy noeviction"
        )


def _check_schema(server: Server) -> None:
    meta = server.keys.meta
    with explained():
        server.client.hsetnx(meta, "schema", SCHEMA)
        server.client.hsetnx(meta, "instance", uuid.uuid4().hex)
        schema = int(server.client.hget(meta, "schema") or SCHEMA)
    if schema > SCHEMA:
        raise ConfigurationError(
            f"the data in the server has schema {schema}, but this version of Gopher supports {SCHEMA}: update Gopher, "
            "or use another GOPHER_NAMESPACE"
        )


def version_of(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2])


def _memory_of_each_node(server: Server) -> list[dict[str, Any]]:
    """Return INFO memory of the server, or of each primary of a cluster: one that evicts is enough to lose jobs."""
    with explained():
        if not server.pools.clustered:
            return [server.client.info("memory")]
        # A dict by node if there are several.
        found: dict[str, Any] = server.client.info("memory", target_nodes="primaries")
    return [found] if "used_memory" in found else list(found.values())


def one_node(info: dict[str, Any]) -> dict[str, Any]:
    """Return the reply of one node: a cluster's INFO has one for each."""
    first = next(iter(info.values()), None)
    return first if isinstance(first, dict) and "redis_version" not in info and "maxmemory_policy" not in info else info

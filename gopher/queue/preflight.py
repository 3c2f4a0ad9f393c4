"""Preflight checks of a process: whether its settings are meant so, and the server can store jobs safely.

A process starts even if the server is unavailable, starting or busy, and waits for it. It does not start if the server
would lose jobs, or does not permit what Gopher needs.
"""

import os
import uuid
from typing import Any

from gopher.config.misspelt import misspelt
from gopher.errors import ConfigurationError, ServerError
from gopher.server.errors import ERRORS, explained, is_not_permitted
from gopher.telemetry.loggers import get_logger

from .releases import agree
from .store import Server

OLDEST_SERVER = (6, 2)

log = get_logger("start")


def check_server(server: Server) -> None:
    """Raise ConfigurationError if the server is unusable; log a warning and continue if it is unavailable."""
    for warning in misspelt(os.environ):
        log.warning(warning)
    try:
        _check_version(server)
        _check_eviction(server)
        _check_protocol(server)
    except ConfigurationError:
        raise
    except ServerError as error:
        log.warning("the server is unavailable; waiting for it", error=str(error))


def _check_version(server: Server) -> None:
    info = one_node(info_of(server, "server"))
    version, oldest = info.get("redis_version"), ".".join(map(str, OLDEST_SERVER))
    if version is None:
        log.warning(f"can't read the server's version: make sure that it is Redis {oldest} or later, or Valkey")
    elif version_of(str(version)) < OLDEST_SERVER:
        raise ConfigurationError(f"the server is version {version}: Gopher requires Redis {oldest} or later, or Valkey")
    _check_mode(str(info.get("redis_mode", "")), server)


def _check_mode(mode: str, server: Server) -> None:
    address = server.settings.server_address
    if mode == "sentinel":
        raise ConfigurationError(
            "the server is a Sentinel: write +sentinel in the scheme of REDIS_URL and the name of the master at its end"
        )
    if mode == "cluster" and not address.is_cluster:
        # Some managed clusters consist of one node, or of a proxy that hides the others.
        log.warning("the server is a node of a cluster: write +cluster in the scheme of REDIS_URL", url=str(address))


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


def _check_protocol(server: Server) -> None:
    server.run(agree(server.keys))
    with explained():
        server.client.hsetnx(server.keys.meta, "instance", uuid.uuid4().hex)


def version_of(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2])


def _memory_of_each_node(server: Server) -> list[dict[str, Any]]:
    """Return INFO memory of the server, or of each primary of a cluster: one that evicts is enough to lose jobs."""
    if not server.pools.clustered:
        return [info_of(server, "memory")]
    # A dict by node if there are several.
    found = info_of(server, "memory", target_nodes="primaries")
    return [found] if "used_memory" in found or not found else list(found.values())


def info_of(server: Server, *sections: str, **options: Any) -> dict[str, Any]:
    """Return what INFO says; nothing if the server does not permit it. Raises a ServerError."""
    with explained():
        try:
            found: dict[str, Any] = server.client.info(*sections, **options)
        except ERRORS as error:
            if is_not_permitted(error):
                return {}
            raise
    return found


def one_node(info: dict[str, Any]) -> dict[str, Any]:
    """Return the reply of one node: a cluster's INFO has one for each."""
    first = next(iter(info.values()), None)
    return first if isinstance(first, dict) and "redis_version" not in info and "maxmemory_policy" not in info else info

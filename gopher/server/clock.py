"""The server's clock, as it is told to who reads."""

from typing import Any

from redis.cluster import RedisCluster


def now_at(client: Any, key: str) -> int:
    """Return the clock of the node that holds `key`, in Unix milliseconds.

    A call of its own: redis-py lets no TIME into a cluster's pipeline, and sends it alone to any node, whose clock
    may be another one.
    """
    nodes = {"target_nodes": client.get_node_from_key(key)} if isinstance(client, RedisCluster) else {}
    seconds, microseconds = client.time(**nodes)
    return int(seconds) * 1000 + int(microseconds) // 1000

"""Reads the server's clock."""

from typing import Any


def now_at(client: Any, key: str) -> int:
    """Return the clock of the node of `key`, in Unix milliseconds.

    A separate call: redis-py does not allow TIME in a cluster's pipeline, and otherwise sends it to any node, whose
    clock may differ.
    """
    # Only a cluster's client has this method.
    nodes = {"target_nodes": client.get_node_from_key(key)} if hasattr(client, "get_node_from_key") else {}
    seconds, microseconds = client.time(**nodes)
    return int(seconds) * 1000 + int(microseconds) // 1000

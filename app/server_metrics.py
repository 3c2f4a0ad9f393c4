"""Metrics of the server itself, of each primary in a cluster: what may endanger jobs."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gopher.queue.server_state import NodeState

#: Name, meaning, and value of each; a node that does not tell it is omitted.
_GAUGES: tuple[tuple[str, str, Callable[[NodeState], float | None]], ...] = (
    ("gopher_server_memory_bytes", "Memory used by the server.", lambda state: state.memory),
    ("gopher_server_maxmemory_bytes", "The server's maxmemory; 0 for none.", lambda state: state.max_memory),
    (
        "gopher_server_may_evict",
        "Whether the server's maxmemory-policy lets it drop jobs when memory runs out.",
        lambda state: None if state.policy is None else int(state.policy != "noeviction"),
    ),
    (
        "gopher_server_appendonly",
        "Whether the server's append-only file is on.",
        lambda state: None if state.aof is None else int(state.aof),
    ),
    (
        "gopher_server_writes_failing",
        "How many of the server's ways to write to its disk failed the last time.",
        lambda state: None if state.aof is None else len(state.failing),
    ),
    ("gopher_server_replicas", "Replicas that are connected.", lambda state: state.replicas),
    (
        "gopher_server_replica_lag_seconds",
        "Seconds since the replica that is furthest behind has confirmed anything.",
        lambda state: state.lag,
    ),
)


def server_metrics(states: Mapping[str, NodeState]) -> Iterator[Metric]:
    for name, meaning, value_of in _GAUGES:
        gauge = GaugeMetricFamily(name, meaning, labels=["server"])
        for server, state in sorted(states.items()):
            if (value := value_of(state)) is not None:
                gauge.add_metric([server], value)
        yield gauge
    evicted = CounterMetricFamily("gopher_server_evicted_keys", "Keys that the server has evicted.", labels=["server"])
    for server, state in sorted(states.items()):
        if state.evicted is not None:
            evicted.add_metric([server], state.evicted)
    yield evicted

"""Queues spread over the nodes of a cluster: what a job costs there, in CPU time of the servers (INFO)."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from redis.cluster import key_slot

from gopher.client import Client
from tests.helpers import free_ports, wait_until
from tests.topologies.lab import SHARDS, Cluster, Node
from tests.worker.processes import Process

pytestmark = pytest.mark.quiet

#: Queues for each node, jobs for each queue, and how often both kinds are measured in turn: as often as needed.
QUEUES_EACH, JOBS, LEAST, MOST = 4, 400, 2, 9
BATCH = 50


def spread_queues() -> list[str]:
    """Return names of queues, of which each node of a cluster gets as many."""
    names: list[list[str]] = [[] for _ in range(SHARDS)]
    for number in count():
        name = f"queue-{number}"
        names[key_slot(f"{{{name}}}".encode()) * SHARDS // 16384].append(name)
        if all(len(each) >= QUEUES_EACH for each in names):
            return [name for each in names for name in each[:QUEUES_EACH]]
    raise AssertionError


def used(nodes: Sequence[Node]) -> list[float]:
    """Return the CPU seconds that each has used."""
    found = [node.client.info("cpu") for node in nodes]
    return [each["used_cpu_user"] + each["used_cpu_sys"] for each in found]


def idle(nodes: Sequence[Node]) -> list[float]:
    """Return the CPU seconds a second that each uses without jobs: a cluster's nodes talk to each other."""
    before, started = used(nodes), time.monotonic()
    time.sleep(3)
    seconds = time.monotonic() - started
    return [(after - then) / seconds for after, then in zip(used(nodes), before, strict=True)]


def cost(
    url: str, nodes: Sequence[Node], idle_use: Sequence[float], queues: Sequence[str], folder: Path
) -> list[float]:
    """Return the CPU time (us) that a job of these queues takes of each node, from its submission to its end."""
    folder.mkdir()
    # None of the jobs of a round before.
    environ = {
        "REDIS_URL": url,
        "GOPHER_NAMESPACE": folder.name,
        "GOPHER_HANDLERS": "tests.monsters",
        "WORKER_CONCURRENCY": "2",
    }
    before, started = used(nodes), time.monotonic()
    with Client(url, namespace=folder.name) as client:
        for queue in queues:
            for _ in range(JOBS // BATCH):
                client.enqueue_many({"type": "echo", "payload": {}, "queue": queue} for _ in range(BATCH))
        worker = Process("worker", {**environ, "WORKER_QUEUES": ",".join(queues)}, folder)
        try:
            stats = client.server.client
            lists = [client.server.queue(queue).keys for queue in queues]
            wait_until(lambda: all(int(stats.hget(keys.totals, "completed:echo") or 0) >= JOBS for keys in lists), 300)
        finally:
            worker.destroy()
    seconds = time.monotonic() - started
    spent = [after - then for after, then in zip(used(nodes), before, strict=True)]
    return [(each - rate * seconds) / (JOBS * len(queues)) * 1e6 for each, rate in zip(spent, idle_use, strict=True)]


@dataclass
class Found:
    """The CPU time (us) that a job takes of the one server, and of each node of the cluster, in each round."""

    alone: list[float] = field(default_factory=list)
    spread: list[list[float]] = field(default_factory=list)

    @property
    def nodes(self) -> list[float]:
        """A process that waits for a processor finds cold caches: what a node needs by itself is the least."""
        return [min(each) for each in zip(*self.spread, strict=True)]

    @property
    def ratio(self) -> float:
        return sum(self.nodes) / min(self.alone)

    @property
    def is_alike(self) -> bool:
        mean = sum(self.nodes) / SHARDS
        return 0.8 * mean < min(self.nodes) and max(self.nodes) < 1.2 * mean

    def __str__(self) -> str:
        return f"us per job: one node {self.alone}, cluster {self.spread}; ratio {self.ratio:.2f}, nodes {self.nodes}"


@contextmanager
def one_node(folder: Path) -> Iterator[Node]:
    """A server with a replica, as each primary of the cluster has one."""
    primary, replica = (Node(folder / str(port), port) for port in free_ports(2))
    try:
        primary.server.start()
        replica.server.start()
        replica.client.replicaof("127.0.0.1", primary.port)
        wait_until(replica.synchronized, 60, "the replica to be in step")
        yield primary
    finally:
        for node in (primary, replica):
            node.client.close()
            node.server.stop()


@pytest.mark.deep
def test_twelve_queues_over_three_nodes_cost_no_more_than_on_one_and_load_them_alike(tmp_path):
    queues = spread_queues()
    with Cluster() as cluster, one_node(tmp_path / "one") as one:
        primaries = [cluster.primary_of(f"{{{queue}}}") for queue in queues[::QUEUES_EACH]]
        idle_one, idle_spread = idle([one]), idle(primaries)
        found = Found()
        for number in range(MOST):
            found.alone += cost(one.server.tcp_url, [one], idle_one, queues, tmp_path / f"one-{number}")
            found.spread.append(cost(cluster.url, primaries, idle_spread, queues, tmp_path / f"cluster-{number}"))
            # Other processes may have the processors: then both kinds are measured again.
            if number + 1 >= LEAST and found.ratio < 1.1 and found.is_alike:
                break
    sys.stderr.write(f"\n{found}; idle {idle_one}, {idle_spread}\n")
    assert found.ratio < 1.1, str(found)
    assert found.is_alike, str(found)

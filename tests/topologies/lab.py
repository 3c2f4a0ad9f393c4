"""Servers of more than one process: a master with replicas and sentinels, and a cluster. All of the same program as
the embedded server, on loopback; any node can be killed and started again.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from gopher.base.parent_death import die_with_parent
from gopher.server.embedded import EmbeddedServer, find_server
from tests.helpers import wait_until

MASTER = "mymaster"
#: Milliseconds until a sentinel, and a node of the cluster, takes a silent one for dead.
DOWN_AFTER = 2000
NODE_TIMEOUT = 2000
#: A cluster's nodes, by shards of a primary and a replica.
SHARDS = 3


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Node:
    """One server, its port and a client that repeats nothing."""

    def __init__(self, folder: Path, port: int, **options: str) -> None:
        self.port = port
        names = {name.replace("_", "-"): value for name, value in options.items()}
        self.server = EmbeddedServer(folder, port=port, options={"repl-diskless-sync-delay": "0", **names})
        self.client = client_of(port)

    def role(self) -> str:
        """Return master or slave, and nothing when it does not answer."""
        try:
            return self.client.role()[0].decode()
        except (RedisError, OSError):
            return ""

    def synchronized(self) -> bool:
        """Return whether it is a read-only replica that has all that its primary had when it came."""
        try:
            return self.client.info("replication").get("master_link_status") == "up"
        except (RedisError, OSError):
            return False


class Topology(ABC):
    """What both kinds have in common. A context manager."""

    url = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-top-"))
        self.nodes: list[Node] = []

    def __enter__(self) -> "Topology":
        try:
            for node in self.nodes:
                node.server.start()
            self._join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            node.client.close()
            node.server.kill()
            node.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def _join(self) -> None:
        """Make one system of the nodes, and wait until it is ready."""

    @abstractmethod
    def primary_of(self, key: str) -> Node:
        """Return the node that has the key now, as the others see it."""

    def kill_primary(self, key: str) -> tuple[Node, float]:
        """Kill the node that has the key with SIGKILL; return it, and when (monotonic s)."""
        node = self.primary_of(key)
        node.server.kill()
        return node, time.monotonic()

    @abstractmethod
    def bring_back(self, node: Node) -> None:
        """Start a node that was killed, and wait until it is a read-only replica that has everything."""


class Trio(Topology):
    """A master, two replicas, and three sentinels that watch them."""

    def __init__(self) -> None:
        super().__init__()
        *ports, first, second, third = free_ports(6)
        self.sentinel_ports = [first, second, third]
        self.nodes = [Node(self.folder / f"node-{port}", port) for port in ports]
        self.sentinels: list[subprocess.Popen[bytes]] = []
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinel_ports)}/{MASTER}/0"

    def __exit__(self, *exc: object) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
            sentinel.wait()
        super().__exit__(*exc)

    def _join(self) -> None:
        master, *replicas = self.nodes
        for replica in replicas:
            replica.client.replicaof("127.0.0.1", master.port)
        wait_until(lambda: all(each.synchronized() for each in replicas), 20, "the replicas to be in step")
        self.sentinels = [self._sentinel(port, master.port) for port in self.sentinel_ports]
        wait_until(self._watched, 20, "the sentinels to know all")

    def _sentinel(self, port: int, master: int) -> "subprocess.Popen[bytes]":
        folder = self.folder / f"sentinel-{port}"
        folder.mkdir()
        # It writes what it learns into its configuration.
        (folder / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n"
            # The next failover may begin after twice this.
            f"sentinel failover-timeout {MASTER} 4000\n"
            f"sentinel parallel-syncs {MASTER} 2\n"
        )
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                [find_server(), folder / "sentinel.conf", "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - a prctl, bound before the fork
            )

    def _watched(self) -> bool:
        states = [self._state(port) for port in self.sentinel_ports]
        return all((each.get("num-slaves"), each.get("num-other-sentinels")) == ("2", "2") for each in states)

    def _state(self, port: int) -> dict[str, str]:
        """Return what a sentinel says of the master."""
        words = [word.decode() for word in self._ask(port, "SENTINEL", "MASTER", MASTER) or ()]
        return dict(zip(words[0::2], words[1::2], strict=True))

    def _ask(self, port: int, *command: str) -> Any:
        sentinel = client_of(port)
        try:
            return sentinel.execute_command(*command)
        except (RedisError, OSError):
            return None
        finally:
            sentinel.close()

    def primary_of(self, key: str) -> Node:
        return wait_until(self._master, 20, "a master that is one")

    def _master(self) -> Node | None:
        """Return the node that all sentinels name, once it is the master."""
        named = {
            tuple(self._ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER) or ()) for port in self.sentinel_ports
        }
        for node in self.nodes:
            if named == {(b"127.0.0.1", str(node.port).encode())} and node.role() == "master":
                return node
        return None

    def bring_back(self, node: Node) -> None:
        master = self.primary_of("")
        node.server.start()
        # As its configuration would say, had it been written before it died. The sentinels need 8 s for it.
        node.client.replicaof("127.0.0.1", master.port)
        others = [each for each in self.nodes if each is not master]
        wait_until(lambda: all(each.synchronized() for each in others), 20, "the replicas to be in step")
        wait_until(self._quiet, 30, "the sentinels to be done with the failover")

    def _quiet(self) -> bool:
        return all(self._state(port).get("flags") == "master" for port in self.sentinel_ports)

    @contextmanager
    def frozen_sentinel(self, at: int = 0) -> Iterator[None]:
        """Freeze a sentinel: it takes connections, and says nothing."""
        self.sentinels[at].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.sentinels[at].send_signal(signal.SIGCONT)


class Cluster(Topology):
    """Three primaries with a replica each."""

    def __init__(self) -> None:
        super().__init__()
        ports = free_ports(4 * SHARDS)
        self.nodes = [
            Node(
                self.folder / f"node-{port}",
                port,
                cluster_enabled="yes",
                cluster_port=str(bus),
                cluster_node_timeout=str(NODE_TIMEOUT),
                cluster_allow_replica_migration="no",
            )
            for port, bus in zip(ports[: 2 * SHARDS], ports[2 * SHARDS :], strict=True)
        ]
        self._buses = dict(zip(ports[: 2 * SHARDS], ports[2 * SHARDS :], strict=True))
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[:SHARDS])}"

    def _join(self) -> None:
        primaries, replicas = self.nodes[:SHARDS], self.nodes[SHARDS:]
        for at, node in enumerate(primaries):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            first, last = 16384 * at // SHARDS, 16384 * (at + 1) // SHARDS - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            node.client.execute_command(
                "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self._buses[self.nodes[0].port]
            )
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes), 20, "the nodes to know each other")
        for replica, primary in zip(replicas, primaries, strict=True):
            name = primary.client.execute_command("CLUSTER", "MYID").decode()
            wait_until(partial(self._follow, replica, name), 10, "a replica to know its primary")
        wait_until(lambda: all(each.synchronized() for each in replicas), 20, "the replicas to be in step")
        wait_until(self.sound, 20, "the cluster to be sound")

    def _knows_all(self, node: Node) -> bool:
        return int(_facts(node)["cluster_known_nodes"]) == len(self.nodes)

    def _follow(self, replica: Node, primary: str) -> bool:
        try:
            return bool(replica.client.execute_command("CLUSTER", "REPLICATE", primary))
        except RedisError:
            return False

    def sound(self) -> bool:
        """Return whether all nodes say that all slots are served, and each primary has a replica that is in step."""
        try:
            shards = [len(row) - 3 for node in self.nodes for row in _slots(node)]
            return all(_facts(node)["cluster_state"] == "ok" for node in self.nodes) and set(shards) == {1}
        except (RedisError, OSError):
            return False

    def primary_of(self, key: str) -> Node:
        return wait_until(lambda: self._holder(key_slot(key.encode())), 20, f"a node that has {key!r}")

    def replicas_of(self, primary: Node) -> list[Node]:
        """Return the replicas of a primary."""
        ports = {each[1] for row in _slots(primary) if row[2][1] == primary.port for each in row[3:]}
        return [node for node in self.nodes if node.port in ports]

    def _holder(self, slot: int) -> Node | None:
        for asked in self.nodes:
            if not asked.server.running or asked.role() != "master":
                continue
            port = next((row[2][1] for row in _slots(asked) if row[0] <= slot <= row[1]), 0)
            node = next((each for each in self.nodes if each.port == port), None)
            return node if node and node.server.running and node.role() == "master" else None
        return None

    def _replaced(self, node: Node) -> bool:
        """Return whether all others say that another node has its slots."""
        others = [each for each in self.nodes if each.server.running]
        return all(row[2][1] != node.port for each in others for row in _slots(each))

    def bring_back(self, node: Node) -> None:
        # One that is back before is the primary as ever.
        wait_until(lambda: self._replaced(node), 30, "a replica to take the place of the node")
        node.server.start()
        wait_until(node.synchronized, 30, "the node to be a replica that is in step")
        wait_until(self.sound, 30, "the cluster to be sound")


def client_of(port: int) -> "Redis":
    """Return a client that repeats nothing."""
    return Redis(port=port, socket_timeout=2.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0), protocol=2)


def _facts(node: Node) -> dict[str, str]:
    found: Any = node.client.execute_command("CLUSTER", "INFO")
    if isinstance(found, dict):
        return found
    return dict(line.split(":", 1) for line in found.decode().split("\r\n") if ":" in line)


def _slots(node: Node) -> Sequence[Any]:
    """Return CLUSTER SLOTS as it comes: first, last, then [host, port, id, ...] of the primary and its replicas."""
    connection = node.client.connection_pool.get_connection()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        return connection.read_response()
    finally:
        node.client.connection_pool.release(connection)

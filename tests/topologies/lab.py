"""Servers of more than one process: a master with replicas and sentinels, and a cluster. All of the same program as
the embedded server, on loopback; any node can be killed and started again.
"""

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
from redis.cluster import key_slot
from redis.exceptions import RedisError

from gopher.server.embedded import EmbeddedServer
from tests.helpers import free_ports, wait_until
from tests.topologies.sentinel import DOWN_AFTER, MASTER, PATIENT_AFTER, Sentinel, client_of

T = TypeVar("T")
#: Milliseconds until a node of the cluster takes a silent one for dead: where one is killed, and at all other times,
#: when one that is silent only waits for a processor.
NODE_TIMEOUT, PATIENT_TIMEOUT = 2000, 20_000
#: A cluster's nodes, by shards of a primary and a replica.
SHARDS = 3


class Node:
    """One server, its port and a client that repeats nothing."""

    def __init__(self, folder: Path, port: int, program: Path | None = None, **options: str) -> None:
        self.port = port
        names = {name.replace("_", "-"): value for name, value in options.items()}
        options = {"repl-diskless-sync-delay": "0", **names}
        self.server = EmbeddedServer(folder, port=port, options=options, program=program)
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

    def freeze(self) -> float:
        """Stop it where it is: it takes connections, and says nothing. Returns when it has stopped (monotonic s)."""
        process = psutil.Process(self.server.pid)
        process.suspend()
        # It may be waiting for a processor, and goes on as soon as it has one.
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 60, "a process to stop")
        return time.monotonic()

    def thaw(self) -> None:
        psutil.Process(self.server.pid).resume()

    def describe(self) -> str:
        """Return what it says of itself, and the last that it has logged."""
        try:
            said = str(self.client.info("replication"))
        except (RedisError, OSError) as error:
            said = repr(error)
        log = self.server.log_path
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"server {self.port}, running: {self.server.running}: {said}", *lines[-10:]])


class Topology(ABC):
    """What both kinds have in common. A context manager."""

    url = ""
    #: Replicas of each primary.
    REPLICAS = 1

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-top-"))
        self.nodes: list[Node] = []
        self._hurries = False

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

    def wait_until(self, condition: Callable[[], T], timeout: float, what: str) -> T:
        """Wait like `tests.helpers.wait_until`; a failure says how all are."""
        try:
            return wait_until(condition, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from error

    def describe(self) -> str:
        """Return how all are, for who wonders why nothing goes on."""
        return "\n".join(node.describe() for node in self.nodes)

    @abstractmethod
    def _join(self) -> None:
        """Make one system of the nodes, and wait until it is ready."""

    @abstractmethod
    def primary_of(self, key: str) -> Node:
        """Return the node that has the key now, as the others see it."""

    def kill_primary(self, key: str) -> tuple[Node, float]:
        """Kill the node that has the key with SIGKILL; return it, and when (monotonic s)."""
        self.hurry()
        node = self.primary_of(key)
        node.server.kill()
        return node, time.monotonic()

    def hurry(self) -> None:
        """Have a node that is silent replaced soon, until all is settled: else only after longer than any waits for a
        processor.
        """
        if not self._hurries:
            self._take_for_dead(soon=True)
            self._hurries = True

    def settle(self) -> None:
        """Wait until all nodes are in step, and another one may fail."""
        self._settle()
        self._take_for_dead(soon=False)
        self._hurries = False

    def wait_for_replicas(self, key: str) -> None:
        """Wait until all replicas of the primary of a key have what it has written until now."""
        node = self.primary_of(key)
        # In the same slot.
        mark = f"{key if '{' in key else f'{{{key or self.folder.name}}}'}:mark"

        def confirmed() -> bool:
            count = node.client.info("replication")["connected_slaves"]
            node.client.set(mark, 1)
            return bool(node.client.wait(count, 500) == count == self.REPLICAS)

        self.wait_until(confirmed, 60, "the replicas to have everything")

    @abstractmethod
    def bring_back(self, node: Node) -> None:
        """Start a node that was killed, and wait until it is a read-only replica that has everything."""

    @abstractmethod
    def fail_over(self, key: str, *options: str) -> tuple[Node, float]:
        """Have a replica take over as an operator does; return the node that had the key, and when (monotonic s)."""

    @abstractmethod
    def replaced(self, node: Node) -> bool:
        """Return whether all others name another primary."""

    @abstractmethod
    def _settle(self) -> None:
        """Wait until all nodes are in step."""

    @abstractmethod
    def _take_for_dead(self, *, soon: bool) -> None:
        """Have a node that is silent taken for dead soon, or only after a long time."""


class Trio(Topology):
    """A master, two replicas, and three sentinels that watch them; all of one program."""

    REPLICAS = 2

    def __init__(self, program: Path | None = None) -> None:
        super().__init__()
        self._program = program
        *ports, first, second, third = free_ports(6)
        self.sentinel_ports = [first, second, third]
        self.nodes = [Node(self.folder / f"node-{port}", port, program) for port in ports]
        self.sentinels: list[Sentinel] = []
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinel_ports)}/{MASTER}/0"

    def __exit__(self, *exc: object) -> None:
        for sentinel in self.sentinels:
            sentinel.stop()
        super().__exit__(*exc)

    def _join(self) -> None:
        master, *replicas = self.nodes
        for replica in replicas:
            replica.client.replicaof("127.0.0.1", master.port)
        wait_until(lambda: all(each.synchronized() for each in replicas), 60, "the replicas to be in step")
        self.sentinels = [Sentinel(port, master.port, self._program) for port in self.sentinel_ports]
        wait_until(lambda: all(each.knows_all() for each in self.sentinels), 60, "the sentinels to know all")
        for sentinel in self.sentinels:
            sentinel.rest_briefly()

    def primary_of(self, key: str) -> Node:
        # A sentinel of Redis 6.2 that got no processor for 2 s does nothing for 30 s.
        return self.wait_until(self._master, 120, "a master that is one")

    def _master(self) -> Node | None:
        """Return the node that all sentinels name that respond, once it is the master."""
        named = {port for each in self.sentinels if (port := each.master())}
        return next((node for node in self.nodes if named == {node.port} and node.role() == "master"), None)

    def bring_back(self, node: Node) -> None:
        master = self.primary_of("")
        node.server.start()
        # As its configuration would say, had it been written before it died. The sentinels need 8 s for it.
        node.client.replicaof("127.0.0.1", master.port)
        self.settle()

    def fail_over(self, key: str, *options: str) -> tuple[Node, float]:
        node = self.primary_of(key)
        self.wait_until(
            # One that rests would begin it, and go on later.
            lambda: any(each.works() and each.ask("SENTINEL", "FAILOVER", MASTER, *options) for each in self.sentinels),
            60,
            "a sentinel to begin a failover",
        )
        return node, time.monotonic()

    def _settle(self) -> None:
        # A master that was replaced learns it from the sentinels after 8 s, and they may still replace this one.
        self.wait_until(self._in_step, 90, "a master, and replicas that are in step")
        self.wait_until(self._quiet, 90, "the sentinels to be done with the failover")

    def _take_for_dead(self, *, soon: bool) -> None:
        for sentinel in self.sentinels:
            sentinel.take_for_dead_after(DOWN_AFTER if soon else PATIENT_AFTER)

    def _in_step(self) -> bool:
        master = self._master()
        return master is not None and all(each.synchronized() for each in self.nodes if each is not master)

    def replaced(self, node: Node) -> bool:
        """Return whether all sentinels that respond name another master."""
        named = [port for each in self.sentinels if (port := each.master())]
        return bool(named) and node.port not in named

    @contextmanager
    def required_replicas(self, count: int) -> Iterator[None]:
        """Have a master take no writes without so many replicas: `min-replicas-to-write`."""
        for node in self.nodes:
            node.client.config_set("min-replicas-to-write", count)
            node.client.config_set("min-replicas-max-lag", 5)
        try:
            yield
        finally:
            for node in self.nodes:
                node.client.config_set("min-replicas-to-write", 0)

    def _quiet(self) -> bool:
        return all(each.works() and each.state().get("flags") == "master" for each in self.sentinels)

    @contextmanager
    def frozen_sentinel(self, at: int = 0) -> Iterator[None]:
        """Freeze a sentinel: it takes connections, and says nothing."""
        self.freeze_sentinel(at)
        try:
            yield
        finally:
            self.thaw_sentinel(at)

    def freeze_sentinel(self, at: int) -> None:
        # Beside one that was frozen before, and is not back yet, the third would have no majority.
        self.wait_until(lambda: all(each.works() for each in self.sentinels), 90, "all sentinels to work")
        self.sentinels[at].freeze()

    def thaw_sentinel(self, at: int) -> None:
        self.sentinels[at].thaw()

    def describe(self) -> str:
        return "\n".join([super().describe(), *(each.describe() for each in self.sentinels)])


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
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes), 60, "the nodes to know each other")
        for replica, primary in zip(replicas, primaries, strict=True):
            name = primary.client.execute_command("CLUSTER", "MYID").decode()
            wait_until(partial(self._follow, replica, name), 60, "a replica to know its primary")
        wait_until(lambda: all(each.synchronized() for each in replicas), 60, "the replicas to be in step")
        wait_until(self.sound, 60, "the cluster to be sound")
        self._take_for_dead(soon=False)

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
        return self.wait_until(lambda: self._holder(key_slot(key.encode())), 60, f"a node that has {key!r}")

    def replicas_of(self, primary: Node) -> list[Node]:
        """Return the replicas of a primary."""
        ports = {each[1] for row in _slots(primary) if row[2][1] == primary.port for each in row[3:]}
        return [node for node in self.nodes if node.port in ports]

    def _holder(self, slot: int) -> Node | None:
        for asked in self.nodes:
            if not asked.server.running or asked.role() != "master":
                continue
            port = _says(asked, slot)
            node = next((each for each in self.nodes if each.port == port), None)
            return node if node and node.server.running and node.role() == "master" else None
        return None

    def _claimant(self, slot: int) -> Node | None:
        """Return a node that says of itself that it has a slot: after a move, others may still name another."""
        return next((each for each in self.nodes if each.role() == "master" and _says(each, slot) == each.port), None)

    def replaced(self, node: Node) -> bool:
        """Return whether all others say that another node has its slots."""
        others = [each for each in self.nodes if each.server.running]
        return all(row[2][1] != node.port for each in others for row in _slots(each))

    def bring_back(self, node: Node) -> None:
        # One that is back before is the primary as ever.
        self.wait_until(lambda: self.replaced(node), 90, "a replica to take the place of the node")
        node.server.start()
        self.wait_until(node.synchronized, 60, "the node to be a replica that is in step")
        self.settle()

    def fail_over(self, key: str, *options: str) -> tuple[Node, float]:
        node = self.primary_of(key)
        (replica,) = self.wait_until(lambda: self.replicas_of(node), 60, "a replica")
        replica.client.execute_command("CLUSTER", "FAILOVER", *options)
        return node, time.monotonic()

    def _settle(self) -> None:
        self.wait_until(self.sound, 90, "the cluster to be sound")
        self.wait_until(lambda: all(each.synchronized() for each in self._replicas()), 60, "the replicas to be in step")

    def _take_for_dead(self, *, soon: bool) -> None:
        for node in self.nodes:
            if node.server.running:
                node.client.config_set("cluster-node-timeout", NODE_TIMEOUT if soon else PATIENT_TIMEOUT)

    def _replicas(self) -> list[Node]:
        return [node for node in self.nodes if node.role() != "master"]

    def move_slot(self, slot: int) -> tuple[Node, float]:
        """Move a slot with its keys to the next shard at once (Valkey 9); return the node that had it, and when."""
        source = self.wait_until(lambda: self._holder(slot), 60, f"a node that has slot {slot}")
        primaries = sorted({row[2][1] for row in _slots(source)})
        target = primaries[(primaries.index(source.port) + 1) % len(primaries)]
        there = next(node for node in self.nodes if node.port == target)
        name = there.client.execute_command("CLUSTER", "MYID").decode()
        source.client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name)
        return source, time.monotonic()

    def move_slot_by_keys(self, slot: int) -> tuple[Node, float]:
        """Move a slot key by key, as all servers can, and `valkey-cli --cluster reshard` does."""
        # Else the new node may choose an epoch that is not the highest, and the old one takes the slot back.
        self.wait_until(
            lambda: len({_facts(node)["cluster_current_epoch"] for node in self.nodes}) == 1, 60, "one epoch"
        )
        source = self.wait_until(lambda: self._claimant(slot), 60, f"a node that has slot {slot}")
        primaries = sorted({row[2][1] for row in _slots(source)})
        there = primaries[(primaries.index(source.port) + 1) % len(primaries)]
        target = next(node for node in self.nodes if node.port == there)
        here, name = (each.client.execute_command("CLUSTER", "MYID").decode() for each in (source, target))
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", name)
        began = time.monotonic()
        while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 500):
            source.client.execute_command("MIGRATE", "127.0.0.1", there, "", 0, 15_000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            if node.role() == "master":
                node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", name)
        return source, began

    def moved(self, slot: int, source: Node) -> bool:
        """Return whether all nodes say that another one has the slot."""
        return all(row[2][1] != source.port for node in self.nodes for row in _slots(node) if row[0] <= slot <= row[1])


def _facts(node: Node) -> dict[str, str]:
    found: Any = node.client.execute_command("CLUSTER", "INFO")
    if isinstance(found, dict):
        return found
    return dict(line.split(":", 1) for line in found.decode().split("\r\n") if ":" in line)


def _says(node: Node, slot: int) -> int | None:
    """Return the port of the primary that has a slot as this node says."""
    return next((row[2][1] for row in _slots(node) if row[0] <= slot <= row[1]), None)


def _slots(node: Node) -> Sequence[Any]:
    """Return CLUSTER SLOTS as it comes: first, last, then [host, port, id, ...] of the primary and its replicas."""
    connection = node.client.connection_pool.get_connection()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        return connection.read_response()
    finally:
        node.client.connection_pool.release(connection)

"""The ways in which a primary is lost or replaced; `trial.run` causes them under load."""

from contextlib import suppress

from redis.cluster import key_slot

from tests.helpers import wait_until
from tests.topologies.lab import Cluster, Node, Topology
from tests.topologies.trial import Fault

#: Seconds for which a master that was replaced may be taken for one: Sentinel demotes it after 8 s.
DEMOTION = 12.0


def _planned(topology: Topology, key: str, *options: str) -> tuple[Node, float]:
    topology.wait_for_replicas(key)
    node, at = topology.fail_over(key, *options)
    for _ in range(4):
        with suppress(AssertionError):
            wait_until(lambda: topology.replaced(node), 30)
            break
        # Those that get no processor for a while give a failover up.
        if topology.primary_of(key) is node:
            topology.fail_over(key, *options)
    return node, at


def _kill(topology: Topology, key: str) -> tuple[Node, float]:
    # A replica that waits for a processor has nothing of what was acknowledged meanwhile.
    topology.wait_for_replicas(key)
    return topology.kill_primary(key)


def _freeze(trio: Topology, key: str) -> tuple[Node, float]:
    trio.hurry()
    trio.wait_for_replicas(key)
    node = trio.primary_of(key)
    return node, node.freeze()


def _thaw(topology: Topology, node: Node) -> None:
    node.thaw()
    topology.settle()


def _settle(topology: Topology, _node: Node) -> None:
    topology.settle()


def _move(topology: Topology, key: str) -> tuple[Node, float]:
    assert isinstance(topology, Cluster)
    slot = key_slot(key.encode())
    source, began = topology.move_slot(slot)
    wait_until(lambda: topology.moved(slot, source), 60, "the slot to be elsewhere")
    return source, began


def _move_by_keys(topology: Topology, key: str) -> tuple[Node, float]:
    assert isinstance(topology, Cluster)
    return topology.move_slot_by_keys(key_slot(key.encode()))


KILL = Fault(
    _kill,
    lambda topology, node: topology.bring_back(node),
)
#: The old master takes jobs until everybody has heard of the new one.
PLANNED = Fault(_planned, _settle, blind=DEMOTION)
#: Without a loss, since the replica has everything before it takes over.
COORDINATED = Fault(lambda topology, key: _planned(topology, key, "COORDINATED"), _settle)
CLUSTER_PLANNED = Fault(_planned, _settle)
FREEZE = Fault(_freeze, _thaw)
MOVE = Fault(_move, _settle, replaces=False)
MOVE_BY_KEYS = Fault(_move_by_keys, _settle, replaces=False)

"""What a rate of jobs needs, by the model."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from .costs import Costs

#: How much of a core of the server may be used: the rest is for bursts, and for what is slower on other machines.
USED = 0.6
#: Queues for each node where one is not enough, so that the load can be spread evenly; queues that a worker serves.
QUEUES_EACH, SERVED = 4, 4
#: Jobs in a call that submits in bulk.
BULK = 100
#: Children of a worker, how busy they are, and the jobs per second that one supervisor can handle.
CHILDREN, BUSY, OF_SUPERVISOR = 16, 0.8, 10_000
#: API processes for each 1,000 jobs per second that are submitted over HTTP one by one, and the connections of each
#: (docs/deployment.md).
API_EACH, OF_API, OF_API_TO_EACH_NODE = 1.0, 4, 9


class Kind(NamedTuple):
    """How jobs come: how many in a call and in a worker's round trip, and how long each takes (s)."""

    name: str
    submitted: float
    worked: float
    seconds: float


class Needs(NamedTuple):
    """What a rate of jobs needs. Bytes, and bytes per second."""

    cores: float
    nodes: int
    queues: int
    workers: int
    connections: int
    kept: float
    network: float
    aof: float


def kinds(costs: Costs) -> tuple[Kind, Kind]:
    return Kind("one by one, 50 ms each", 1, 1, 0.05), Kind("in bulk, 1 ms each", BULK, costs.batch, 0.001)


def per_second(kind: Kind, rate: float, kilobytes: float) -> dict[str, float]:
    """Return the events of a second, at a server that has much to do."""
    return {
        "submission": rate / kind.submitted,
        "submitted": rate,
        "submitted KB": rate * kilobytes,
        "exchange": rate / kind.worked,
        "worked": rate,
        "worked KB": rate * kilobytes,
    }


def needs(costs: Costs, kind: Kind, rate: float, kilobytes: float, retention: float) -> Needs:
    """Return what a rate of jobs with such payloads needs, if records are kept for `retention` seconds."""
    events = per_second(kind, rate, kilobytes)
    flows: Mapping[str, float] = {flow: costs.of(events, flow) for flow in costs.flows}
    cores = flows["cpu"] / 1e6
    nodes = math.ceil(cores / USED)
    queues = 1 if nodes == 1 else nodes * QUEUES_EACH
    workers = math.ceil(max(rate * kind.seconds / BUSY / CHILDREN, rate / OF_SUPERVISOR))
    served = min(SERVED, queues)
    of_worker = 1 + served if nodes == 1 else 2 * served + 3
    of_api = OF_API if nodes == 1 else OF_API_TO_EACH_NODE * nodes
    connections = workers * of_worker + math.ceil(rate / kind.submitted / 1000 * API_EACH) * of_api
    kept = costs.stored({"finished": rate * retention, "finished KB": rate * retention * kilobytes})
    return Needs(cores, nodes, queues, workers, connections, kept, flows["received"] + flows["sent"], flows["aof"])

"""Storms of failovers for `make chaos`: all of Gopher on a Sentinel trio or a cluster whose primaries change again and
again.
"""

import random
from contextlib import ExitStack
from dataclasses import replace

from tests.faults.audit import Audit
from tests.faults.storms import Report
from tests.topologies.faults import CLUSTER_PLANNED, COORDINATED, FREEZE, KILL, MOVE, MOVE_BY_KEYS, PLANNED
from tests.topologies.lab import Cluster, Topology, Trio
from tests.topologies.sentinel import DOWN_AFTER
from tests.topologies.stack import QUEUES, Stack
from tests.topologies.trial import Fault, run

#: Kind -> what may happen, and seconds until work continues after the worst of it.
KINDS: dict[str, tuple[type[Topology], list[Fault], float]] = {
    "Sentinel": (Trio, [KILL, PLANNED, COORDINATED, FREEZE], DOWN_AFTER / 1000 + 2.0),
    "cluster": (Cluster, [KILL, CLUSTER_PLANNED, MOVE, MOVE_BY_KEYS], 10.0),
}
RATE = 100.0


class Field:
    """A topology with Gopher's processes. A context manager."""

    def __init__(self, kind: str, seed: int) -> None:
        topology, self.faults, self.within = KINDS[kind]
        self.kind = kind
        self.random = random.Random(seed)
        self._open = ExitStack()
        self._make = topology

    def __enter__(self) -> "Field":
        with ExitStack() as opening:
            self.topology = opening.enter_context(self._make())
            self.stack = opening.enter_context(Stack(self.topology.url, QUEUES))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def logs(self) -> str:
        return self.stack.logs()


def failovers(field: Field, *, times: int) -> Report:
    """Take primaries away in all ways, a frozen sentinel among the others half of the time."""
    plan = [field.faults[at % len(field.faults)] for at in range(times)]
    field.random.shuffle(plan)
    faults = [(fault, field.random.choice(QUEUES)) for fault in plan]
    if isinstance(field.topology, Trio):
        faults = [(_with_frozen_sentinel(fault, field.random), queue) for fault, queue in faults]
    found = run(field.topology, field.stack, faults, rate=RATE)
    report = Report(f"failovers, {field.kind}", faults=times)
    report.audit = Audit(
        accepted=found.accepted,
        completed=found.accepted - len(found.lost) - len(found.unreplicated) - len(found.unfinished),
        lost=found.lost,
        unfinished=found.unfinished,
        twice=[*found.twice, *found.doubled],
    )
    report.recoveries = [each.pause(field.within) for each in found.outages]
    report.expect(not found.doubled, f"{len(found.doubled)} jobs ran twice without a reason")
    report.expect(not found.strange, f"the API answered {found.strange[:3]}")
    report.expect(not found.lies, f'the API said "nothing was stored" of what was: {found.lies[:3]}')
    report.expect(found.traffic_lost <= 2.0, f"{found.traffic_lost:.1f} s of traffic lost at once")
    longest = max(report.recoveries)
    report.expect(longest <= 2 * field.within, f"work continued only after {longest:.1f} s")
    report.notes = (
        f"{len(found.unreplicated)} jobs not replicated, {found.traffic_lost:.2f} s of traffic at most; "
        f"{found.refused} submissions rejected"
    )
    return report


def _with_frozen_sentinel(fault: Fault, drawn: random.Random) -> Fault:
    """Return the fault, with a sentinel frozen while it lasts, or as it is."""
    if drawn.random() < 0.5:
        return fault
    at = drawn.randrange(3)

    def cause(topology: Topology, key: str) -> object:
        topology.freeze_sentinel(at)
        return fault.cause(topology, key)

    def end(topology: Topology, node: object) -> None:
        topology.thaw_sentinel(at)
        fault.end(topology, node)

    return replace(fault, cause=cause, end=end)

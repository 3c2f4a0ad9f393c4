"""One trial: a load, primaries that are killed under it, and what became of each submission."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gopher.base.states import ENDED
from tests.faults.ledger import Entry
from tests.helpers import wait_until
from tests.topologies.lab import Topology
from tests.topologies.stack import PacedLoad, Stack

#: Seconds before a kill in which what was done may not have reached a replica.
ON_ITS_WAY = 0.2
#: Seconds of load before the first kill, and after the last one is over.
QUIET = 2.0


@dataclass
class Kill:
    """One primary that was killed, and how long it took until what was sent afterwards worked again (s)."""

    at: float
    queue: str
    accepted_after: float = 0.0
    done_after: float = 0.0


@dataclass
class Report:
    """What was found. Lists hold job ids."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    #: Acknowledged, and the primaries that remain know nothing of it; acknowledged just before a kill: no replica had
    #: received it.
    unreplicated: list[str] = field(default_factory=list)
    #: The same at any other time.
    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    #: Run twice: under way at a kill or ended just before it, and at any other time.
    twice: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = ("unreplicated", "lost", "unfinished", "twice", "doubled", "lies", "strange")
        counts = " ".join(f"{name}={len(getattr(self, name))}" for name in names)
        outages = ", ".join(f"{kill.accepted_after:.1f}/{kill.done_after:.1f}" for kill in self.kills)
        return (
            f"{self.accepted} accepted in {self.seconds:.0f} s, {self.refused} refused; {counts}; "
            f"accepted/done again after (s): {outages}"
        )


def run(topology: Topology, stack: Stack, *, kills: Sequence[str], rate: float = 150.0, quiet: float = QUIET) -> Report:
    """Kill the primary of each of these queues in turn, each time once all is well again; then count."""
    report = Report()
    with PacedLoad(stack, rate) as load:
        began = time.monotonic()
        for queue in kills:
            _pause(load, quiet)
            node, at = topology.kill_primary(stack.client.server.keys.for_queue(queue).prefix)
            kill = Kill(at, queue)
            report.kills.append(kill)
            wait_until(lambda kill=kill: _first_done(stack, load, kill), 60, f"a job of {queue} to be done again")
            topology.bring_back(node)
        _pause(load, quiet)
        load.stop()
        report.seconds = time.monotonic() - began
    jobs = list(load.queue_of.items())
    _wait_until_all_ended(stack, jobs)
    _count(report, load, stack)
    return report


def _pause(load: PacedLoad, seconds: float) -> None:
    """Let the load go on for so long."""
    until, before = time.monotonic() + seconds, len(load.accepted)
    wait_until(lambda: time.monotonic() >= until and len(load.accepted) > before, seconds + 30, "the load to go on")


def _first_done(stack: Stack, load: PacedLoad, kill: Kill) -> bool:
    """Note the first job of the queue that was acknowledged after the kill, and the first of them that is done."""
    mine = {
        job_id: at
        for job_id, at in list(load.accepted_at.items())
        # A reply may have been on its way.
        if at > kill.at + ON_ITS_WAY and load.queue_of.get(job_id) == kill.queue
    }
    if not mine:
        return False
    kill.accepted_after = min(mine.values()) - kill.at
    ends = [entry.at for entry in stack.events() if entry.event == "end" and entry.job_id in mine]
    kill.done_after = min(ends, default=kill.at) - kill.at
    return bool(ends)


def _wait_until_all_ended(stack: Stack, jobs: Sequence[tuple[str, str]], timeout: float = 60.0) -> None:
    left = list(jobs)

    def ended() -> bool:
        # Those of which nothing is known are counted as lost.
        states = stack.states(left)
        left[:] = [(job_id, queue) for job_id, queue in left if states[job_id] not in (None, *ENDED)]
        return not left

    try:
        wait_until(ended, timeout)
    except AssertionError:
        # Counted as unfinished.
        return


def _count(report: Report, load: PacedLoad, stack: Stack) -> None:
    states, events = stack.states(list(load.queue_of.items())), _by_job(stack.events())
    report.accepted, report.refused = len(states), load.answers[503] + load.broken
    report.lies, report.strange = load.lies, load.strange
    for job_id, state in states.items():
        if state is None:
            near = any(0 <= kill.at - load.accepted_at[job_id] <= ON_ITS_WAY for kill in report.kills)
            (report.unreplicated if near else report.lost).append(job_id)
        elif state not in ENDED:
            report.unfinished.append(job_id)
        if len([entry for entry in events[job_id] if entry.event == "start"]) > 1:
            (report.twice if _at_a_kill(events[job_id], report.kills) else report.doubled).append(job_id)


def _at_a_kill(events: Sequence[Entry], kills: Sequence[Kill]) -> bool:
    """Return whether an attempt before the last one was under way at a kill, or ended just before it."""
    starts = sorted(entry.at for entry in events if entry.event == "start")
    ends = sorted(entry.at for entry in events if entry.event == "end")
    first_end = min(ends, default=float("inf"))
    return any(starts[0] <= kill.at and first_end >= kill.at - ON_ITS_WAY for kill in kills)


def _by_job(events: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in events:
        found[entry.job_id].append(entry)
    return found

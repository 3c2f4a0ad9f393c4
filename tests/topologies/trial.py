"""One trial: a load, faults that take its primaries away, and what became of each submission."""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, cycle, islice, pairwise

from gopher.base.states import ENDED
from tests.faults.ledger import Entry
from tests.helpers import wait_until
from tests.pulse import Pulse
from tests.topologies.lab import Node, Topology
from tests.topologies.stack import PacedLoad, Stack

#: Seconds before a fault in which what was done may not have reached a replica.
ON_ITS_WAY = 0.2
#: Seconds from when a worker has received a job until it is noted that it starts, and from when it is noted that it has
#: ended until the server knows; on a machine that may keep any process waiting for 5 s.
UNNOTED = 6.0
#: Seconds until another one is the primary: sentinels that got no processor begin again after 8 s, or rest for 30 s.
OTHERS = 120.0
#: Seconds of load before the first fault, and after each one is over.
QUIET = 2.0
#: How many more faults there may be, if others had the processors during those that were planned.
MORE = 3


@dataclass(frozen=True)
class Fault:
    """A way to take the primary of a key away."""

    #: Causes it; returns the node that was the primary, and when (monotonic s).
    cause: Callable[[Topology, str], tuple[Node, float]]
    #: Undoes it once another node has taken over, and waits until another one may follow.
    end: Callable[[Topology, Node], object]
    #: Whether another node takes the place of the primary.
    replaces: bool = True
    #: Seconds after the others have agreed on another primary in which the old one may take jobs, which are lost.
    blind: float = 0.0


@dataclass
class Outage:
    """One fault, and what clients and workers noticed of it."""

    at: float
    queue: str
    blind: float
    #: When the test began to cause it.
    since: float
    #: How long processes had to wait for a processor meanwhile.
    pulse: Pulse
    ended: float = 0.0
    #: How long it took the others to agree on another primary (s).
    replaced_after: float = 0.0
    #: The longest time in which no job of the queue was acknowledged, and none was done (s).
    accepted_after: float = 0.0
    done_after: float = 0.0
    #: Jobs acknowledged on other nodes meanwhile, as a share of those that were due; 1 without other nodes.
    others: float = 1.0
    #: Other queues, on nodes that are not concerned.
    elsewhere: list[str] = field(default_factory=list)
    unreplicated: int = 0

    def covers(self, since: float, until: float) -> bool:
        """Return whether it explains that what happened in this time is lost, or was done again."""
        over = self.at + self.replaced_after + self.blind if self.blind else self.at
        return since <= over and until >= self.since - ON_ITS_WAY

    def pause(self, within: float) -> float:
        """Return the seconds without work, less what the others took for longer than `within` to agree."""
        return max(self.accepted_after, self.done_after) - max(self.replaced_after - within, 0.0)

    def is_short(self, within: float) -> bool:
        """Return whether the pause was at most twice as long, but for what other processes took of it."""
        return self.pulse.allows(self.pause(within), 2 * within)


@dataclass
class Report:
    """What was found. Lists hold job ids."""

    rate: float
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    outages: list[Outage] = field(default_factory=list)
    #: Acknowledged, and the primaries that remain know nothing of it; acknowledged just before a fault, or while nobody
    #: knew of it: no replica had received it.
    unreplicated: list[str] = field(default_factory=list)
    #: The same at any other time.
    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    #: Run twice: under way at a fault or ended just before it, and at any other time.
    twice: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    #: When those that are lost or doubled were sent, acknowledged, started and ended, in seconds since each fault.
    when: dict[str, list[str]] = field(default_factory=dict)
    lies: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = ("unreplicated", "lost", "unfinished", "twice", "doubled", "lies", "strange")
        counts = " ".join(f"{name}={len(getattr(self, name))}" for name in names)
        outages = ", ".join(
            f"{each.replaced_after:.1f}/{each.accepted_after:.1f}/{each.done_after:.1f}/"
            f"{each.unreplicated / self.rate:.2f}/{each.others:.2f}"
            for each in self.outages
        )
        return (
            f"{self.accepted} accepted in {self.seconds:.0f} s, {self.refused} refused; {counts}; for each fault: "
            "replaced after, no job accepted, none done for (s) / seconds of traffic lost / share of jobs taken "
            f"elsewhere: {outages}"
        )

    def continues(self, within: float) -> bool:
        """Return whether at least half of the pauses were short: the others may be due to other work on the machine."""
        return 2 * sum(each.is_short(within) for each in self.outages) >= len(self.outages)

    @property
    def share_elsewhere(self) -> float:
        return sum(each.others for each in self.outages) / len(self.outages)

    def loses_at_most(self, seconds: float) -> bool:
        """Return whether no fault lost more of the load, but for what other processes took of the time.

        What a master takes that was replaced depends on when the others hear of it: at least half of the times.
        """
        if not seconds:
            return not self.traffic_lost
        few = [each.pulse.allows(each.unreplicated / self.rate, seconds) for each in self.outages]
        return all(few) or (all(each.blind for each in self.outages) and 2 * sum(few) >= len(few))

    @property
    def traffic_lost(self) -> float:
        """The most that was lost in one fault, in seconds of the load."""
        return max(each.unreplicated for each in self.outages) / self.rate


def run(
    topology: Topology,
    stack: Stack,
    faults: Sequence[tuple[Fault, str]],
    *,
    rate: float = 150.0,
    quiet: float = QUIET,
    enough: Callable[[Report], bool] = lambda report: True,
) -> Report:
    """Cause each fault for a queue, one after the other, each time once all is well again; then count.

    Cause some of them again while what was measured is not `enough`.
    """
    report = Report(rate)
    keys = {queue: stack.client.server.keys.for_queue(queue).prefix for queue in stack.queues}
    with PacedLoad(stack, rate) as load:
        began = time.monotonic()
        for fault, queue in chain(faults, islice(cycle(faults), MORE)):
            if len(report.outages) >= len(faults) and enough(report):
                break
            _pause(load, quiet)
            place = topology.primary_of(keys[queue])
            elsewhere = [each for each in stack.queues if topology.primary_of(keys[each]) is not place]
            since, seen = time.monotonic(), len(stack.events())
            with Pulse() as pulse:
                node, at = fault.cause(topology, keys[queue])
                outage = Outage(at, queue, fault.blind, since, pulse, elsewhere=elsewhere)
                report.outages.append(outage)
                _wait_until_over(topology, stack, load, outage, node if fault.replaces else None, seen)
                fault.end(topology, node)
            outage.ended = time.monotonic()
            _measure(outage, load, stack)
        _pause(load, quiet)
        load.stop()
        report.seconds = time.monotonic() - began
    jobs = list(load.queue_of.items())
    _count(report, load, stack, _wait_until_all_ended(stack, jobs))
    for outage in report.outages:
        _measure(outage, load, stack)
    return report


def _pause(load: PacedLoad, seconds: float) -> None:
    """Let the load go on for so long."""
    until, before = time.monotonic() + seconds, len(load.accepted)
    wait_until(lambda: time.monotonic() >= until and len(load.accepted) > before, seconds + 60, "the load to go on")


def _wait_until_over(
    topology: Topology, stack: Stack, load: PacedLoad, outage: Outage, lost: Node | None, seen: int
) -> None:
    """Wait until others have replaced the node that was lost, and the work of its queue goes on.

    There were as many events when the fault was about to be caused as were `seen`.
    """
    try:
        if lost is not None:
            wait_until(lambda: topology.replaced(lost), OTHERS, f"another primary than {lost.port}")
            outage.replaced_after = time.monotonic() - outage.at
        wait_until(lambda: _works_again(stack, load, outage, seen), 120, f"a job of {outage.queue} to be done again")
    except AssertionError as error:
        seconds = time.monotonic() - outage.at
        sent, taken = (sum(at > outage.at for at in list(each.values())) for each in (load.sent_at, load.accepted_at))
        raise AssertionError(
            f"{error}\n{seconds:.1f} s after the fault; since then {taken} jobs were acknowledged, {sent} of which "
            f"were sent since; all answers: {dict(load.answers)}, broken connections: {load.broken}\n"
            f"{topology.describe()}\n{stack.describe()}"
        ) from error


def _works_again(stack: Stack, load: PacedLoad, outage: Outage, seen: int) -> bool:
    """Return whether a job of the queue was submitted after the fault, acknowledged, and done."""
    mine = {
        job_id
        for job_id, at in list(load.sent_at.items())
        if at > outage.at and load.queue_of.get(job_id) == outage.queue
    }
    return bool(mine) and any(entry.event == "end" and entry.job_id in mine for entry in stack.events()[seen:])


def _measure(outage: Outage, load: PacedLoad, stack: Stack) -> None:
    # Others may be added meanwhile.
    queue_of = dict(load.queue_of)
    accepted_at = {job_id: at for job_id, at in list(load.accepted_at.items()) if job_id in queue_of}
    accepted = sorted(at for job_id, at in accepted_at.items() if queue_of[job_id] == outage.queue)
    done = sorted(
        entry.at for entry in stack.events() if entry.event == "end" and queue_of.get(entry.job_id) == outage.queue
    )
    outage.accepted_after, began, ended = _longest_gap(accepted, outage)
    outage.done_after, *_ = _longest_gap(done, outage)
    taken = [at for job_id, at in accepted_at.items() if queue_of[job_id] in outage.elsewhere]
    # A busy machine may take less than is submitted: compare with what it took just before, if it did not catch up.
    before = sum(outage.since - QUIET <= at <= outage.since for at in taken) / QUIET
    due = (ended - began) * min(before, load.rate * len(outage.elsewhere) / len(stack.queues))
    # Of a short one there are too few.
    if due >= 10:
        outage.others = sum(began <= at <= ended for at in taken) / due


def _longest_gap(times: Sequence[float], outage: Outage) -> tuple[float, float, float]:
    """Return the longest time between two of these until the fault has ended, and from when to when it was."""
    some = times[max(bisect_left(times, outage.at) - 1, 0) : bisect_left(times, outage.ended) + 1]
    gaps = [(after - before, before, after) for before, after in pairwise(some)]
    return max(gaps, default=(0.0, outage.at, outage.at))


def _wait_until_all_ended(
    stack: Stack, jobs: Sequence[tuple[str, str]], timeout: float = 240.0
) -> dict[str, str | None]:
    """Return the state of each job, most of them once they have ended."""
    left, found = list(jobs), dict[str, str | None]()

    def ended() -> bool:
        # Those of which nothing is known are counted as lost.
        found.update(stack.states(left))
        left[:] = [(job_id, queue) for job_id, queue in left if found[job_id] not in (None, *ENDED)]
        return not left

    # Others are counted as unfinished.
    with suppress(AssertionError):
        wait_until(ended, timeout)
    return found


def _count(report: Report, load: PacedLoad, stack: Stack, states: Mapping[str, str | None]) -> None:
    events = _by_job(stack.events())
    report.accepted, report.refused = len(states), load.answers[503] + load.broken
    report.lies, report.strange = load.lies, load.strange
    for job_id, state in states.items():
        if state is None:
            sent, taken = load.sent_at[job_id], load.accepted_at[job_id]
            guilty = next((each for each in report.outages if each.covers(sent, taken)), None)
            (report.unreplicated if guilty else report.lost).append(job_id)
            if guilty:
                guilty.unreplicated += 1
        elif state not in ENDED:
            report.unfinished.append(job_id)
        starts = sorted(entry.at for entry in events[job_id] if entry.event == "start")
        if len(starts) > 1:
            end = min((entry.at for entry in events[job_id] if entry.event == "end"), default=float("inf"))
            explained = any(each.covers(starts[0] - UNNOTED, end + UNNOTED) for each in report.outages)
            (report.twice if explained else report.doubled).append(job_id)
    for job_id in [*report.lost, *report.doubled]:
        times = [load.sent_at[job_id], load.accepted_at[job_id], *(entry.at for entry in events[job_id])]
        report.when[job_id] = [" ".join(f"{at - outage.at:.2f}" for at in times) for outage in report.outages]


def _by_job(events: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in events:
        found[entry.job_id].append(entry)
    return found

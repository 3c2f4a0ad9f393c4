"""Primaries are killed, frozen and replaced under load: nothing that a replica had is lost, and work continues soon."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice

import httpx
import pytest

from tests.helpers import wait_until
from tests.pulse import Pulse
from tests.servers import PROGRAMS
from tests.topologies.faults import CLUSTER_PLANNED, COORDINATED, FREEZE, KILL, MOVE, MOVE_BY_KEYS, PLANNED
from tests.topologies.lab import Cluster, Trio
from tests.topologies.sentinel import DOWN_AFTER
from tests.topologies.stack import QUEUES, Stack
from tests.topologies.trial import QUIET, run

pytestmark = pytest.mark.quiet

#: Seconds from the loss of a primary until jobs are taken and done again.
AFTER_LOSS = {"trio": DOWN_AFTER / 1000 + 2.0, "cluster": 10.0}
#: Jobs that a fault may make run twice: those that run.
RUNNING = 4
#: How often each fault is caused.
TIMES = int(os.environ.get("FAILOVERS", "2"))


def check(name, report, stack, *, within, lost=0.0, outcomes_lost=0.0):
    """Hold a report against what is promised: work again `within` seconds, at most `lost` seconds of traffic lost.

    Jobs whose outcomes of `outcomes_lost` seconds are lost run again.
    """
    # What was measured, for who looks: pytest -s.
    sys.stderr.write(f"\n{name}: {report}\n")
    assert not report.lies
    assert not report.strange
    assert not report.lost, report.when
    assert not report.unfinished, [stack.record(job_id) for job_id in report.unfinished] + [stack.logs()]
    assert not report.doubled, report.when
    assert report.loses_at_most(lost), str(report)
    # Where a replica did not have submissions, it did not have the outcomes of the same moments either.
    unnoted = 2 * sum(each.unreplicated for each in report.outages) + outcomes_lost * report.rate
    assert len(report.twice) <= RUNNING * len(report.outages) + unnoted
    assert report.continues(within), str(report)


def trial(topology, stack, faults, *, within, enough=lambda report: True, **options):
    """Cause these faults; some of them again while work seems to continue too late, or something else is not enough."""
    return run(topology, stack, faults, enough=lambda report: report.continues(within) and enough(report), **options)


def each(fault, times=TIMES):
    """Return the fault so many times, for the queues in turn."""
    return [(fault, queue) for queue in islice(cycle(QUEUES), times)]


def test_a_master_is_killed_and_work_continues(trio, trio_stack):
    within = AFTER_LOSS["trio"]
    report = trial(trio, trio_stack, [(KILL, "mail")], within=within, rate=60.0, quiet=0.5)
    check("trio", report, trio_stack, within=within, lost=0.2)


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}", "/api/v1/queue/stats", "/api/v1/jobs/{}?wait=5"])
def test_64_who_ask_the_api_at_once_all_get_an_answer(stack, path):
    job = {"type": "faults.work", "payload": {}, "queue": "sms"}
    job_id = httpx.post(f"{stack.address}/api/v1/jobs?wait=10", json=job, timeout=20).json()["job_id"]

    def ask(_number: int) -> set[str]:
        with httpx.Client(base_url=stack.address, timeout=60) as client:
            answers = [client.get(path.format(job_id)) for _ in range(2)]
        return {answer.text for answer in answers if answer.status_code != 200}

    with ThreadPoolExecutor(64) as readers:
        assert set.union(*readers.map(ask, range(64))) == set()


@pytest.mark.deep
@pytest.mark.parametrize("server", PROGRAMS)
def test_a_master_of_another_server_is_killed_and_work_continues(server):
    with Trio(PROGRAMS[server]()) as trio, Stack(trio.url, QUEUES) as stack:
        assert f"redis {stack.client.server.client.info('server')['redis_version']}".startswith(server)
        within = AFTER_LOSS["trio"]
        report = trial(trio, stack, [(KILL, "mail")], within=within, rate=60.0, quiet=0.5)
        check(f"trio, {server}", report, stack, within=within, lost=0.2)


@pytest.mark.deep
@pytest.mark.parametrize("kind", AFTER_LOSS)
def test_primaries_are_killed_at_150_submissions_a_second(kind, request):
    topology, within = request.getfixturevalue(kind), AFTER_LOSS[kind]
    with Stack(topology.url, QUEUES) as stack:
        # Other nodes of a cluster.
        report = trial(topology, stack, each(KILL), within=within, enough=lambda report: report.share_elsewhere >= 0.5)
        check(f"{kind}, killed", report, stack, within=within, lost=0.2)
        # On a machine that has other work, too.
        seconds = report.seconds - sum(each.replaced_after for each in report.outages)
        assert report.accepted / seconds > report.rate / 15
        assert report.share_elsewhere >= 0.5


@pytest.mark.deep
def test_a_planned_failover_of_sentinel_loses_what_its_master_took_meanwhile(trio):
    with Stack(trio.url, QUEUES) as stack:
        report = trial(trio, stack, each(PLANNED), within=1.5)
        check("trio, planned", report, stack, within=1.5, lost=2.0, outcomes_lost=2.0)


@pytest.mark.deep
def test_with_min_replicas_a_planned_failover_loses_less(trio):
    with Stack(trio.url, QUEUES) as stack, trio.required_replicas(1):
        report = trial(trio, stack, each(PLANNED), within=1.5)
        check("trio, planned, min-replicas", report, stack, within=1.5, lost=1.0)


@pytest.mark.deep
def test_a_coordinated_failover_loses_nothing(trio):
    with Stack(trio.url, QUEUES) as stack:
        check("trio, coordinated", trial(trio, stack, each(COORDINATED), within=1.5), stack, within=1.5)


@pytest.mark.deep
def test_a_master_that_was_frozen_takes_nothing_when_it_is_back(trio):
    within = AFTER_LOSS["trio"]
    with Stack(trio.url, QUEUES) as stack:
        check("trio, frozen", trial(trio, stack, each(FREEZE), within=within), stack, within=within, lost=0.5)


@pytest.mark.deep
@pytest.mark.parametrize("frozen", range(3))
def test_jobs_are_stopped_in_time_while_a_sentinel_is_frozen_and_the_master_killed(trio, trio_stack, frozen):
    # Other processes may have the processors just when a job is due: the best of three counts.
    for _ in range(3):
        late, pulse = _stop_jobs_while_the_master_is_killed(trio, trio_stack, frozen)
        if pulse.allows(late, 0.5):
            break
    assert pulse.allows(late, 0.5), f"{late:.2f} s late; {pulse}"


def _stop_jobs_while_the_master_is_killed(trio, stack, frozen):
    """Return how many seconds late jobs were stopped at most, and how long processes waited meanwhile."""
    job = {"type": "faults.hang", "payload": {"how": "polite"}, "timeout": 2, "max_retries": 0, "queue": "sms"}
    trio.hurry()
    with trio.frozen_sentinel(frozen), Pulse() as pulse:
        ids = {httpx.post(f"{stack.address}/api/v1/jobs", json=job, timeout=60).json()["job_id"] for _ in range(4)}

        def times(event):
            found = {entry.job_id: entry.at for entry in stack.events() if entry.event == event}
            return {job_id: found[job_id] for job_id in ids if job_id in found}

        wait_until(lambda: len(times("start")) == len(ids), 60)
        node, _ = trio.kill_primary("")
        stopped = wait_until(lambda: (found := times("stopped")).keys() == ids and found, 60)
        trio.wait_until(lambda: trio.replaced(node), 120, "another master")
    late = max(stopped[job_id] - began - 2.0 for job_id, began in times("start").items())
    sys.stderr.write(f"\nstopped {late:.2f} s late at most; {pulse}\n")
    trio.bring_back(node)
    return late, pulse


@pytest.mark.deep
@pytest.mark.parametrize(("name", "fault"), [("planned", CLUSTER_PLANNED), ("moved", MOVE), ("by keys", MOVE_BY_KEYS)])
def test_a_cluster_loses_nothing_when_a_replica_takes_over_or_a_slot_moves(name, fault, request):
    with ExitStack() as opened:
        # In one of its own, there are no keys of other tests to move one by one.
        own = fault is MOVE_BY_KEYS
        cluster = opened.enter_context(Cluster()) if own else request.getfixturevalue("cluster")
        stack = opened.enter_context(Stack(cluster.url, QUEUES))
        faults, quiet = (each(fault), QUIET) if name == "planned" else (each(fault, 4 * TIMES), QUIET / 2)
        report = trial(cluster, stack, faults, within=1.0, quiet=quiet)
        check(f"cluster, {name}", report, stack, within=1.0)
        assert not report.twice

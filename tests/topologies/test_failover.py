"""Primaries are killed, frozen and replaced under load: nothing that a replica had is lost, and work continues soon."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from statistics import median_low

import httpx
import pytest

from tests.helpers import wait_until
from tests.pulse import Pulse
from tests.servers import PROGRAMS
from tests.topologies.faults import CLUSTER_PLANNED, COORDINATED, FREEZE, KILL, MOVE, MOVE_BY_KEYS, PLANNED
from tests.topologies.lab import Cluster, Trio
from tests.topologies.sentinel import DOWN_AFTER
from tests.topologies.stack import QUEUES, Stack
from tests.topologies.trial import run

pytestmark = pytest.mark.quiet

#: Seconds from the loss of a primary until jobs are taken and done again.
AFTER_LOSS = {"trio": DOWN_AFTER / 1000 + 2.0, "cluster": 10.0}
KINDS = {"trio": Trio, "cluster": Cluster}
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
    assert report.traffic_lost <= lost
    assert len(report.twice) <= RUNNING * len(report.outages) + outcomes_lost * report.rate
    # The longer ones may be due to other work on the machine.
    assert median_low(each.pause(within) for each in report.outages) <= 2 * within, str(report)


def each(fault, times=TIMES):
    """Return the fault so many times, for the queues in turn."""
    return [(fault, queue) for queue in islice(cycle(QUEUES), times)]


def test_a_master_is_killed_and_work_continues(trio, trio_stack):
    report = run(trio, trio_stack, [(KILL, "mail")], rate=60.0, quiet=0.5)
    check("trio", report, trio_stack, within=AFTER_LOSS["trio"], lost=0.2)


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
        report = run(trio, stack, [(KILL, "mail")], rate=60.0, quiet=0.5)
        check(f"trio, {server}", report, stack, within=AFTER_LOSS["trio"], lost=0.2)


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_primaries_are_killed_at_150_submissions_a_second(kind):
    with KINDS[kind]() as topology, Stack(topology.url, QUEUES) as stack:
        report = run(topology, stack, each(KILL))
        check(f"{kind}, killed", report, stack, within=AFTER_LOSS[kind], lost=0.2)
        # On a machine that has other work, too.
        assert report.accepted / report.seconds > report.rate / 5
        # Other nodes of a cluster.
        assert sum(each.others for each in report.outages) / len(report.outages) >= 0.5


@pytest.mark.deep
def test_a_planned_failover_of_sentinel_loses_what_its_master_took_meanwhile():
    with Trio() as trio, Stack(trio.url, QUEUES) as stack:
        check("trio, planned", run(trio, stack, each(PLANNED)), stack, within=1.5, lost=2.0, outcomes_lost=2.0)


@pytest.mark.deep
def test_with_min_replicas_a_planned_failover_loses_less():
    with Trio() as trio, Stack(trio.url, QUEUES) as stack:
        trio.require_replicas(1)
        check("trio, planned, min-replicas", run(trio, stack, each(PLANNED)), stack, within=1.5, lost=1.0)


@pytest.mark.deep
def test_a_coordinated_failover_loses_nothing():
    with Trio() as trio, Stack(trio.url, QUEUES) as stack:
        check("trio, coordinated", run(trio, stack, each(COORDINATED)), stack, within=1.5)


@pytest.mark.deep
def test_a_master_that_was_frozen_takes_nothing_when_it_is_back():
    with Trio() as trio, Stack(trio.url, QUEUES) as stack:
        check("trio, frozen", run(trio, stack, each(FREEZE)), stack, within=AFTER_LOSS["trio"], lost=0.5)


@pytest.mark.deep
@pytest.mark.parametrize("frozen", range(3))
def test_jobs_are_stopped_in_time_while_a_sentinel_is_frozen_and_the_master_killed(trio, trio_stack, frozen):
    job = {"type": "faults.hang", "payload": {"how": "polite"}, "timeout": 2, "max_retries": 0, "queue": "sms"}
    with trio.frozen_sentinel(frozen), Pulse() as pulse:
        ids = {httpx.post(f"{trio_stack.address}/api/v1/jobs", json=job, timeout=20).json()["job_id"] for _ in range(4)}

        def times(event):
            found = {entry.job_id: entry.at for entry in trio_stack.events() if entry.event == event}
            return {job_id: found[job_id] for job_id in ids if job_id in found}

        wait_until(lambda: len(times("start")) == len(ids), 20)
        node, _ = trio.kill_primary("")
        stopped = wait_until(lambda: (found := times("stopped")).keys() == ids and found, 30)
        trio.wait_until(lambda: trio.replaced(node), 120, "another master")
    late = max(stopped[job_id] - began - 2.0 for job_id, began in times("start").items())
    sys.stderr.write(f"\nstopped {late:.2f} s late at most; {pulse}\n")
    trio.bring_back(node)
    assert pulse.allows(late, 0.5), f"{late:.2f} s late; {pulse}"


@pytest.mark.deep
@pytest.mark.parametrize(("name", "fault"), [("planned", CLUSTER_PLANNED), ("moved", MOVE), ("by keys", MOVE_BY_KEYS)])
def test_a_cluster_loses_nothing_when_a_replica_takes_over_or_a_slot_moves(name, fault):
    with Cluster() as cluster, Stack(cluster.url, QUEUES) as stack:
        report = run(cluster, stack, each(fault, TIMES if name == "planned" else 4 * TIMES))
        check(f"cluster, {name}", report, stack, within=1.0)
        assert not report.twice

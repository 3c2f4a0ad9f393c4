"""A primary is killed under load: nothing acknowledged is lost that a replica had, and work goes on in seconds."""

import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.topologies.lab import Cluster, Trio
from tests.topologies.stack import QUEUES, Stack
from tests.topologies.trial import run

#: Kind -> seconds from the death of a primary until jobs are taken and done again.
WITHIN = {"trio": 5.0, "cluster": 10.0}
KINDS = {"trio": Trio, "cluster": Cluster}


def check(report, kind, stack):
    # What was measured, for who looks: pytest -s.
    sys.stderr.write(f"\n{kind}: {report}\n")
    assert not report.lies
    assert not report.strange
    assert not report.lost
    assert not report.unfinished, [stack.record(job_id) for job_id in report.unfinished] + [stack.logs()]
    assert not report.doubled
    assert all(outage.done_after <= WITHIN[kind] for outage in report.kills), str(report)


def test_a_master_is_killed_and_work_goes_on(trio, trio_stack):
    check(run(trio, trio_stack, kills=["mail"], rate=60.0, quiet=0.5), "trio", trio_stack)


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}", "/api/v1/queue/stats", "/api/v1/jobs/{}?wait=5"])
def test_sixteen_who_ask_the_api_at_once_all_get_an_answer(stack, path):
    job = {"type": "faults.work", "payload": {}, "queue": "sms"}
    job_id = httpx.post(f"{stack.address}/api/v1/jobs?wait=10", json=job, timeout=20).json()["job_id"]

    def ask(_number: int) -> set[int]:
        with httpx.Client(base_url=stack.address, timeout=20) as client:
            return {client.get(path.format(job_id)).status_code for _ in range(10)}

    with ThreadPoolExecutor(16) as readers:
        assert set.union(*readers.map(ask, range(16))) == {200}


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_three_primaries_are_killed_at_150_submissions_a_second(kind):
    with KINDS[kind]() as topology, Stack(topology.url, QUEUES) as stack:
        report = run(topology, stack, kills=["mail", "default", "sms"])
        check(report, kind, stack)
        assert report.accepted / report.seconds > 100

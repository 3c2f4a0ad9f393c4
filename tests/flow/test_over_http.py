"""Flow over HTTP: one job for fifty requests, a graph in one call, limits and pauses that count at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.flow.conftest import running_system
from tests.helpers import wait_until


@pytest.fixture(scope="module")
def system(redis_url, tmp_path_factory):
    """One for all: the worker serves the queue `default` only, others belong to one test each."""
    with running_system(redis_url, f"test-{uuid4().hex[:12]}", tmp_path_factory.mktemp("http")) as system:
        system.start("scheduler")
        system.workers(1)
        yield system


@pytest.fixture(scope="module")
def api(system):
    return system.api()


WORK = {"type": "work", "payload": {}}


def waiting(system, queue):
    return system.client.stats().queues[queue].waiting


def fifty_at_once(post):
    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(lambda _: post(), range(50)))


def test_one_idempotency_key_from_fifty_connections_is_one_job_and_fifty_identical_answers(api, system):
    answers = fifty_at_once(lambda: api.post("/jobs", json={**WORK, "queue": "a"}, headers={"Idempotency-Key": "k"}))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert waiting(system, "a") == 1
    another = api.post("/jobs", json={"type": "other", "payload": {}, "queue": "a"}, headers={"Idempotency-Key": "k"})
    assert (another.status_code, another.json()["code"]) == (422, "idempotency_mismatch")


def test_one_idempotency_key_is_one_batch_too(api, system):
    batch = {"jobs": [{**WORK, "queue": "b"}, {"type": "collect", "payload": {}, "queue": "b", "after": [0]}]}
    answers = fifty_at_once(lambda: api.post("/jobs/batch", json=batch, headers={"Idempotency-Key": "b"}))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(system.client.jobs(queue="b").jobs) == 2


def test_one_unique_key_from_fifty_connections_is_one_job(api, system):
    answers = fifty_at_once(lambda: api.post("/jobs", json={**WORK, "queue": "c", "unique_key": "k"}))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("duplicate" in answer.json() for answer in answers) == 49
    assert waiting(system, "c") == 1


def test_a_fan_out_and_fan_in_is_one_call_whose_last_job_has_the_results_of_the_others(api):
    parts = [{"type": "work", "payload": {"value": number, "seconds": 0.1}} for number in range(5)]
    collect = {"type": "collect", "payload": {}, "after": [0, 1, 2, 3, 4]}
    answer = api.post("/jobs/batch", json={"jobs": [*parts, collect]})
    assert [job["status"] for job in answer.json()["jobs"]] == ["pending"] * 5 + ["scheduled"]
    last = answer.json()["jobs"][-1]["job_id"]
    assert api.get(f"/jobs/{last}", params={"wait": 20}).json()["result"] == [0, 1, 2, 3, 4]


def test_a_parent_by_place_that_was_a_duplicate_is_the_job_that_it_duplicates(api):
    # It is not to end before the batch comes.
    work = {"type": "work", "payload": {"value": 7}, "unique_key": "k", "delay": "1h"}
    first = api.post("/jobs", json=work).json()["job_id"]
    batch = [
        {"type": "work", "payload": {"value": 8}, "unique_key": "k"},
        {"type": "collect", "payload": {}, "after": [0]},
    ]
    answers = api.post("/jobs/batch", json={"jobs": batch}).json()["jobs"]
    assert answers[0]["job_id"] == first
    assert api.post(f"/jobs/{first}/run").status_code == 200
    assert api.get(f"/jobs/{answers[1]['job_id']}", params={"wait": 20}).json()["result"] == [7]


def test_a_limit_that_is_raised_counts_within_a_second_and_why_tells(api, system):
    before = len(system.lines("work"))
    assert api.put("/limits/work", json={"rate": "1/h"}).status_code == 200
    ids = system.client.enqueue_many(WORK for _ in range(20))
    wait_until(lambda: system.lines("work")[before:])
    reasons = api.get(f"/jobs/{ids[-1]}/why").json()["reasons"]
    assert [reason["code"] for reason in reasons] == ["rate_limited", "position"]
    raised = time.time()
    assert api.put("/limits/work", json={"rate": "500/s", "burst": 100}).json()["rate"] == "500/s"
    assert api.get(f"/jobs/{ids[-1]}", params={"wait": 20}).json()["status"] == "completed"
    assert api.delete("/limits/work").json()["cleared"] is True
    second = sorted(line.start for line in system.lines("work"))[before + 1]
    assert second - raised < 1 + 3, "parked jobs did not hear of it"


def test_a_paused_type_is_shown_as_paused_and_continues_when_resumed(api):
    assert api.post("/types/work/pause").json() == {"type": "work", "paused": True, "changed": True}
    job_id = api.post("/jobs", json=WORK).json()["job_id"]
    assert api.post("/jobs?wait=20", json={"type": "other", "payload": {}}).json()["status"] == "completed"
    assert api.get(f"/jobs/{job_id}/why").json()["reasons"][0]["code"] == "type_paused"
    assert api.post("/types/work/resume").json()["changed"] is True
    assert api.get(f"/jobs/{job_id}", params={"wait": 20}).json()["status"] == "completed"

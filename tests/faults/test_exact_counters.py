"""The counters of /metrics against the ledger that the handlers keep themselves, with processes killed meanwhile."""

import os
from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.lab import System, kill
from tests.faults.ledger import counts
from tests.helpers import wait_until

#: 10,000 by hand: EXACT_JOBS=10000.
JOBS = int(os.environ.get("EXACT_JOBS", "600"))
WORK, BROKEN = "faults.work", "faults.stumble"


def figures(system):
    text = httpx.get(f"{system.address}/metrics", timeout=30).text
    sums = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name, sample.labels.get("job_type")] += sample.value
    return sums


def submit(system):
    """Submit jobs one by one and in batches, over HTTP; one in ten will fail twice and then for good."""
    kinds = [BROKEN if number % 10 == 0 else WORK for number in range(JOBS)]
    bodies = [
        {"type": kind, "payload": {"how": "error"} if kind == BROKEN else {"number": number}, "priority": priority}
        | ({"max_retries": 1} if kind == BROKEN else {})
        for number, kind in enumerate(kinds)
        for priority in [("high", "normal", "low")[number % 3]]
    ]
    ids = []
    with httpx.Client(base_url=system.address, timeout=30) as http:
        ids += [http.post("/api/v1/jobs", json=body).raise_for_status().json()["job_id"] for body in bodies[:100]]
        for at in range(100, JOBS, 250):
            answer = http.post("/api/v1/jobs/batch", json={"jobs": bodies[at : at + 250]}).raise_for_status()
            ids += [job["job_id"] for job in answer.json()["jobs"]]
    return ids, Counter(kinds)


def test_counters_equal_the_ledger_though_a_worker_and_an_api_process_are_killed(seed):
    with System(workers=2, api=2, seed=seed, GOPHER_RESULT_TTL="1h") as system:
        ids, kinds = submit(system)
        wait_until(lambda: len(counts(system.events(), "end")) > JOBS // 5, 60, "a part of the jobs to end")
        kill(system.workers[0].pid)
        kill(system.api_workers()[0])
        system.restart_worker(system.workers[0])
        system.wait(ids, 60 + JOBS / 50)
        wait_until(lambda: len(system.api_workers()) == 2, 60, "another process of the API")
        found = figures(system)
        ended = counts(system.events(), "end")
        # A job that was killed within its attempt ran again; that it ran is the ledger's, that it counts once is ours.
        assert set(ended) == {job_id for job_id, state in system.states(ids).items() if state == "completed"}
        assert found["gopher_jobs_processed_total", WORK] == len(ended) == kinds[WORK]
        assert found["gopher_jobs_failed_total", BROKEN] == kinds[BROKEN]
        assert found["gopher_jobs_retried_total", BROKEN] == kinds[BROKEN]
        for kind, count in kinds.items():
            assert found["gopher_jobs_enqueued_total", kind] == count
            settled = sum(found[f"gopher_jobs_{event}_total", kind] for event in ("processed", "failed", "retried"))
            assert found["gopher_job_processing_duration_seconds_count", kind] == settled
            begun = found["gopher_jobs_dequeued_total", kind]
            assert found["gopher_job_wait_duration_seconds_count", kind] == begun >= settled
            # What was begun and not settled was given back, or rescued.
            assert begun - settled >= found["gopher_jobs_rescued_total", kind]
        assert found["gopher_queue_size", None] == 0
        assert found["gopher_dlq_size", None] == kinds[BROKEN]

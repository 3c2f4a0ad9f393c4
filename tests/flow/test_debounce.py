"""unique_mode replace with real workers: each change runs once, the last one last."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def test_what_is_submitted_while_workers_take_jobs_is_replaced_or_runs_and_the_last_is_run_last(system, ended):
    client = system.client
    system.start("scheduler")
    system.workers(2)

    def submit(number: int) -> str:
        return client.enqueue("work", {"key": number, "seconds": 0.001}, unique_key="k", unique_mode="replace")

    ids = [submit(number) for number in range(200)]
    assert set(ended(sorted(set(ids)))) == {"completed"}
    runs = sorted(system.lines("work"), key=lambda line: line.start)
    assert len(runs) == len(set(ids)) == client.stats().queues["default"].total_enqueued
    keys = [int(run.key) for run in runs]
    assert keys == sorted(set(keys))
    assert keys[-1] == 199
    # What comes while a job runs waits for its end.
    assert all(before.end <= after.start for before, after in pairwise(runs))


def test_submissions_of_many_threads_make_one_job_that_runs_once(system, ended):
    client = system.client
    with ThreadPoolExecutor(8) as threads:
        ids = list(
            threads.map(
                lambda number: client.enqueue(
                    "work", {"key": number}, unique_key="k", unique_mode="replace", delay="1h", max_wait="1h"
                ),
                range(64),
            )
        )
    assert len(set(ids)) == 1
    last = client.enqueue("work", {"key": "last"}, unique_key="k", unique_mode="replace")
    system.workers(1)
    assert ended([last]) == ["completed"]
    assert [line.key for line in system.lines("work")] == ["last"]

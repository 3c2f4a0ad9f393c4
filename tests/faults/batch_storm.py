"""A batch over three queues while processes of all kinds are killed: it counts exactly, and calls back once."""

import threading
import time
from uuid import uuid4

import httpx

from gopher.jobs.batch import BatchView
from gopher.queue.invariants import findings
from tests.faults.lab import System
from tests.faults.storms import KILLERS, Report
from tests.helpers import wait_until

QUEUES = ("default", "mails", "files")
#: What the workers of its system serve.
ENVIRON = {"WORKER_QUEUES": ",".join(QUEUES)}
#: Jobs per request.
_CHUNK = 100


def batch_storm(system: System, *, jobs: int, kills: int) -> Report:
    """Kill processes while a batch is filled and its jobs run, some of which fail at first."""
    report, began = Report("kill -9 with a batch"), time.monotonic()
    callback = {"type": "faults.work", "payload": {"number": "callback"}, "queue": QUEUES[0]}
    with system.client.batch(name="storm", on_complete=callback, on_success=callback, queue=QUEUES[1]) as batch:
        chunks = [_jobs(batch.id, at, min(at + _CHUNK, jobs)) for at in range(0, jobs, _CHUNK)]
        filling = threading.Thread(target=lambda: [_submit(system, chunk) for chunk in chunks])
        filling.start()
        _kill(system, report, batch.id, jobs, kills)
        filling.join()
    _end(system, batch.id, jobs)
    view = system.client.batches.get(batch.id)
    _check(system, report, view, jobs)
    report.recoveries.append(time.monotonic() - began)
    return report


def _jobs(batch_id: str, first: int, last: int) -> list[dict[str, object]]:
    return [
        {"type": "faults.work", "payload": {"number": number}, "queue": QUEUES[number % 3], "batch": batch_id}
        for number in range(first, last)
    ]


def _submit(system: System, chunk: list[dict[str, object]]) -> None:
    """Submit some jobs, again and again with one key until it is known that they are stored."""
    headers = {"Idempotency-Key": uuid4().hex}

    def is_stored() -> bool:
        try:
            answer = httpx.post(
                f"{system.address}/api/v1/jobs/batch", json={"jobs": chunk}, headers=headers, timeout=30
            )
        except httpx.HTTPError:
            return False
        assert answer.status_code in (201, 503), answer.text
        return answer.status_code == 201

    wait_until(is_stored, 120, "the jobs to be stored")


def _kill(system: System, report: Report, batch_id: str, jobs: int, kills: int) -> None:
    kinds = list(KILLERS)
    plan = [kinds[at % len(kinds)] for at in range(kills)]
    system.random.shuffle(plan)
    for at, kind in enumerate(plan):
        wait_until(
            lambda at=at: system.client.batches.get(batch_id).completed >= jobs * (at + 0.5) / (kills + 1),
            300,
            "jobs to complete",
        )
        report.faults += KILLERS[kind](system)


def _end(system: System, batch_id: str, jobs: int) -> None:
    """Wait for the end of the batch. It need not wait for half a minute until it looks at jobs that never end."""
    keys = system.client.server.keys.for_queue(QUEUES[1])

    def has_ended() -> bool:
        view = system.client.batches.get(batch_id)
        if view.completed >= jobs and not view.has_ended:
            system.client.server.client.hset(keys.batch(batch_id), "changed", 1)
            system.client.server.client.zadd(keys.batch_work, {batch_id: 1}, xx=True)
            system.client.server.client.rpush(keys.alarm, 1)
        return view.has_ended

    wait_until(has_ended, 300, "the batch to end")


def _check(system: System, report: Report, view: BatchView, jobs: int) -> None:
    report.expect((view.total, view.completed) == (jobs, jobs), f"the batch has counted {view}")
    called = {"complete": view.callbacks["complete"], "success": view.callbacks["success"]}
    for job_id in called.values():
        # It is stored a moment after the end of the batch.
        wait_until(lambda job_id=job_id: system.client.inspector.find(str(job_id)), 60, "a callback to be stored")
        system.client.wait(str(job_id), 60)
    ran = {entry.job_id for entry in system.events() if entry.number == "callback"}
    report.expect(ran == set(called.values()), f"callbacks that ran: {ran}, expected: {called}")
    numbers = {entry.number for entry in system.events() if entry.event == "end"} - {"callback"}
    report.expect(len(numbers) == jobs, f"{len(numbers)} of {jobs} jobs ran")
    server = system.client.server
    for queue in QUEUES:
        report.wrong += findings(server.client, server.keys.for_queue(queue))

"""Handlers of the storm of freezes, which note in the ledger what they do."""

import subprocess
import time

from gopher import Job, handler
from tests.faults.ledger import note


@handler("faults.yield", preemptible=True, max_retries=20)
def yields(job: Job, payload: dict) -> int:
    """Takes N steps of 20 ms, with a process of its own beside it."""
    note(job.id, job.attempt, "start")
    beside = subprocess.Popen(["sleep", "300"])
    try:
        for _ in range(payload["steps"]):
            time.sleep(0.02)
    finally:
        beside.kill()
        beside.wait()
    note(job.id, job.attempt, "end")
    return payload["steps"]


@handler("faults.urgent", max_retries=20)
def urgent(job: Job, payload: dict) -> None:
    note(job.id, job.attempt, "start")
    time.sleep(payload["seconds"])
    note(job.id, job.attempt, "end")

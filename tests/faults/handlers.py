"""Handlers that note in the ledger what they do. `GOPHER_HANDLERS=tests.faults.handlers`."""

import os
import time

from gopher import Job, RateLimited, Retry, Snooze, handler
from tests.faults.ledger import VARIABLE, note
from tests.monsters import hang_in_c


@handler("faults.work", max_retries=20)
def work(job: Job, payload: dict) -> dict:
    """Takes `seconds`."""
    note(job.id, job.attempt, "start", payload.get("number", "-"))
    time.sleep(payload.get("seconds", 0.0))
    note(job.id, job.attempt, "end", payload.get("number", "-"))
    return {"attempt": job.attempt}


@handler("faults.linger", max_retries=20)
def linger(job: Job, payload: dict) -> dict:
    """Takes `seconds` in its first attempt, or until the file `until` is there; later ones end at once."""
    note(job.id, job.attempt, "start")
    if job.attempt == 1:
        time.sleep(payload.get("seconds", 0.0))
        while "until" in payload and not os.path.exists(payload["until"]):
            time.sleep(0.02)
    note(job.id, job.attempt, "end")
    return {"attempt": job.attempt}


@handler("faults.stumble")
def stumble(job: Job, payload: dict) -> dict:
    """Ends its first run in another way than by a result: `how` says in which."""
    first = not any(job.id in line for line in _lines(os.environ[VARIABLE]))
    note(job.id, job.attempt, "start")
    if first or payload["how"] == "error":
        raise {
            "retry": Retry("not yet", after="10ms"),
            "snooze": Snooze("50ms"),
            "rate_limited": RateLimited("50ms"),
            "error": ValueError("never works"),
        }[payload["how"]]
    note(job.id, job.attempt, "end")
    return {"attempt": job.attempt}


@handler("faults.chatter")
def chatter(job: Job, payload: dict) -> None:
    """Tells for `seconds` how far it is."""
    note(job.id, job.attempt, "start")
    for step in range(10):
        job.progress(step / 10)
        job.log("step %d", step)
        time.sleep(payload["seconds"] / 10)
    note(job.id, job.attempt, "end")


@handler("faults.attach", max_retries=20)
def attach(job: Job, payload: dict) -> dict:
    """Stores a file with the job."""
    note(job.id, job.attempt, "start")
    name = job.attach(b"x" * 10_000, name="a.bin")
    note(job.id, job.attempt, "end")
    return {"attempt": job.attempt, "file": name}


@handler("faults.hang")
def hang(job: Job, payload: dict) -> None:
    """Runs into its timeout: asleep, asleep again whatever interrupts it, or in C with all signals blocked."""
    note(job.id, job.attempt, "start")
    if payload["how"] == "in C":
        hang_in_c(job, payload)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if payload["how"] == "polite":
                note(job.id, job.attempt, "stopped")
                raise


def _lines(path: str) -> list[str]:
    with open(path, "a+") as ledger:
        ledger.seek(0)
        return ledger.readlines()

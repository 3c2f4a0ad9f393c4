"""Handlers that write down when they start and end: lines of `type key start end`, appended to $LEDGER."""

import os
import time
from typing import Any

from gopher import Job, RateLimited, Retry, handler


def _note(job: Job, payload: dict[str, Any], started: float) -> None:
    line = f"{job.type} {payload.get('key', '-')} {started:.4f} {time.time():.4f} {job.attempt}\n"
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(line)


@handler("work")
def work(job: Job, payload: dict) -> Any:
    started = time.time()
    time.sleep(payload.get("seconds", 0))
    _note(job, payload, started)
    return payload.get("value")


@handler("other")
def other(job: Job, payload: dict) -> None:
    _note(job, payload, time.time())


@handler("collect")
def collect(job: Job, payload: dict) -> list[Any]:
    """Returns the results of the jobs that it waited for."""
    return sorted(job.parents.values())


@handler("slow_down")
def slow_down(job: Job, payload: dict) -> int:
    """Says once that the other side wants it slower."""
    mark = payload["mark"]
    if not os.path.exists(mark):
        with open(mark, "w"):
            pass
        raise RateLimited(payload.get("retry_after", "600ms"), scope=payload.get("scope", "key"))
    _note(job, payload, time.time())
    return job.attempt


@handler("fails")
def fails(job: Job, payload: dict) -> None:
    raise ValueError("no")


@handler("tries_on")
def tries_on(job: Job, payload: dict) -> None:
    """Fails each time, and asks for another attempt soon."""
    _note(job, payload, time.time())
    raise Retry(after="200ms")


@handler("declared", rate_limit="5/s", burst=1, concurrency=2)
def declared(job: Job, payload: dict) -> None:
    _note(job, payload, time.time())

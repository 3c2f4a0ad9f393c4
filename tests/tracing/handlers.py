"""Handlers that trace what they do, and some that do not live to tell."""

import os
import signal
import time
from typing import Any

from opentelemetry import trace

from gopher import Client, Job, Snooze, current_job, handler

# As a user's module has it: made when it is imported, before any provider is there.
tracer = trace.get_tracer("shop")


@handler("fine")
def fine(job: Job, payload: dict[str, Any]) -> str:
    """Ends well, with a span of its own."""
    with tracer.start_as_current_span("look something up", attributes={"answer": 42}):
        return job.trace_id


@handler("flaky", backoff="constant", max_retries=3)
def flaky(job: Job, payload: dict[str, Any]) -> None:
    """Fails twice, each time within a span of its own."""
    with tracer.start_as_current_span("try it"):
        if job.attempt < 3:
            raise ValueError(f"not yet: attempt {job.attempt}")


@handler("chain")
def chain(job: Job, payload: dict[str, Any]) -> str:
    """Submits another job."""
    with Client() as client:
        return client.enqueue("fine", {})


@handler("napping")
def napping(job: Job, payload: dict[str, Any]) -> None:
    """Puts itself off, once."""
    if not os.path.exists(payload["file"]):
        open(payload["file"], "w").close()
        raise Snooze(0.01)


@handler("dying", max_retries=0)
def dying(job: Job, payload: dict[str, Any]) -> None:
    """Ends its process in the way that it is told, after a span that ended well."""
    with tracer.start_as_current_span("last words"):
        pass
    how = payload["how"]
    if how == "exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hang":
        while True:
            try:
                time.sleep(60)
            except BaseException:  # noqa: BLE001 - it will not listen
                continue
    elif how == "soft":
        time.sleep(60)
    elif how == "closes":
        os.closerange(3, 200)


@handler("weird")
def weird(job: Job, payload: dict[str, Any]) -> None:
    """Has a span with what no protocol can hold, and one that is too large."""
    with tracer.start_as_current_span("huge") as span:
        span.set_attribute("text", "x" * 300_000)
    with tracer.start_as_current_span("deep", attributes={"number": 2**80}):
        assert current_job() is job

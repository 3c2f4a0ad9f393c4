"""How late delayed jobs start, with a scheduler and an idle worker."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.contenders import Contender
from benchmarks.lab import Lab, lab
from benchmarks.numbers import percentile
from gopher.client import Client

from . import Figure, Item, alone, gopher_only

#: Seconds from the submission of the first job until it is due, and between two due times.
AHEAD, APART = 1.0, 0.017


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = max(int(50 * seconds), 20)
    with lab(contender) as made, made.worker(), _scheduler(made), Client(made.url) as client:
        client.enqueue("noop", {})
        made.wait_for(1)
        due = time.time() + AHEAD
        for number in range(count):
            at = round((due + number * APART) * 1000)
            client.enqueue("stamp", {"sent": at * 1_000_000}, execute_at=_rfc3339(at))
        made.wait_for(1 + count)
        late = made.stamps()
    return {"lateness p50": percentile(late, 50), "lateness p99": percentile(late, 99)}


def _rfc3339(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000)) + f".{at % 1000:03d}Z"


@contextmanager
def _scheduler(made: Lab) -> Iterator[None]:
    environ = {**os.environ, "REDIS_URL": made.url, "LOG_LEVEL": "error"}
    process = subprocess.Popen([sys.executable, "-m", "gopher.scheduler"], env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


ITEM = Item(
    "delay", (Figure("lateness p50", "ms", "less"), Figure("lateness p99", "ms", "less")), gopher_only, alone(measure)
)

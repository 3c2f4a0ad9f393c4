"""What a fleet of idle workers costs the server: CPU time, connections and calls.

BENCH_FLEET (1000) is the number of workers: supervisors of two children each, without the children.
"""

import os
import time
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.fleet import Fleet
from benchmarks.lab import lab
from gopher.config.settings import Settings
from gopher.jobs.handlers import handler
from gopher.jobs.registry import Registry

from . import Figure, Item, alone, gopher_only

WORKERS = int(os.environ.get("BENCH_FLEET", "1000"))
#: Seconds until they only do what idle workers do, and the time in which each of their calls is made.
SETTLE, PERIOD = 3.0, 10.0


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    registry = Registry()
    handler("noop", into=registry)(lambda job, payload: None)
    with lab(contender) as made:
        others = len(made.redis.client_list())
        with Fleet(Settings(redis_url=made.url, worker_concurrency=2), WORKERS, registry) as fleet:
            fleet.run(SETTLE)
            before, began = made.redis.info("all"), time.monotonic()
            fleet.run(max(round(seconds), 1) * PERIOD)
            after, passed = made.redis.info("all"), time.monotonic() - began
            cpu = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
            calls = sum(_calls(after, name) - _calls(before, name) for name in ("evalsha", "brpoplpush"))
            return {
                "idle fleet, server CPU": cpu / passed * 100,
                "idle worker, connections": (len(made.redis.client_list()) - others) / WORKERS,
                "idle worker, calls": calls / passed / WORKERS,
            }


def _calls(info: dict[str, Any], command: str) -> int:
    return int(info[f"cmdstat_{command}"]["calls"])


ITEM = Item(
    "idle",
    (
        Figure("idle fleet, server CPU", f"% of a core, {WORKERS:,} workers", "less"),
        Figure("idle worker, connections", "per queue", "less"),
        Figure("idle worker, calls", "scripts and blocking pops/s", "less"),
    ),
    gopher_only,
    alone(measure),
    once=True,
)

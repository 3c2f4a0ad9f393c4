"""What a worker costs that has nothing to do, and how long it takes to be there."""

import time

from ..contenders import Contender
from ..lab import family_memory, family_seconds, lab
from . import Figure, Item, queues

#: Seconds after its first job until a worker is at rest.
SETTLE = 1.0


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    idle = max(5.0 * seconds, 1.0)
    with lab(contender) as made:
        made.send("noop", 1)
        began = time.perf_counter()
        with made.worker() as root:
            start = made.wait_for(1) - began
            time.sleep(SETTLE)
            commands, busy, at = _commands(made.redis), family_seconds(root), time.perf_counter()
            time.sleep(idle)
            passed = time.perf_counter() - at
            return {
                "cold start": start,
                "worker memory": family_memory(root),
                "idle commands": (_commands(made.redis) - commands - 1) / passed,
                "idle processor": (family_seconds(root) - busy) / passed * 100,
            }


def _commands(redis: object) -> int:
    """Return how many commands clients have sent: those inside of scripts are part of their script."""
    stats = redis.info("commandstats")  # type: ignore[attr-defined]
    calls = {name.removeprefix("cmdstat_"): figures["calls"] for name, figures in stats.items()}
    total = sum(calls.values())
    scripted = redis.info("stats").get("total_scripted_commands", 0)  # type: ignore[attr-defined]
    return int(total - scripted)


ITEM = Item(
    "rest",
    (
        Figure("cold start", "s to the first job", "less"),
        Figure("worker memory", "MB (PSS)", "less"),
        Figure("idle commands", "commands/s", "less"),
        Figure("idle processor", "% of a core", "less"),
    ),
    queues,
    measure,
)

"""How soon an idle worker starts a single job."""

import time

from benchmarks.contenders import Contender
from benchmarks.lab import lab
from benchmarks.numbers import percentile

from . import Figure, Item, all_contenders, alone

#: Seconds between two jobs: long enough for the worker to be idle again.
PAUSE = 0.01


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = max(int(300 * seconds), 20)
    with lab(contender) as made, made.worker():
        made.trickle(5, 0.05)
        made.wait_for(5)
        time.sleep(0.3)
        made.trickle(count, PAUSE)
        made.wait_for(count + 5)
        late = made.stamps()[5:]
    return {"pick-up p50": percentile(late, 50), "pick-up p99": percentile(late, 99)}


ITEM = Item(
    "wake", (Figure("pick-up p50", "ms", "less"), Figure("pick-up p99", "ms", "less")), all_contenders, alone(measure)
)

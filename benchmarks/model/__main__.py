"""`make model`: measure the runs in several interleaved rounds, fit the model, try it, and write docs/scaling.md.

ROUNDS (5). With PAGE=1 nothing is measured: the page is written from what was measured before.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.contenders import CONTENDERS
from benchmarks.lab import lab

from . import by_workers, page, stored
from .bench import Bench
from .by_hand import Run, nothing, submits, ticks, works
from .by_workers import delays, drains, idles, in_bulk, one_by_one, picks_up
from .costs import FILE, FLOWS, Costs, read
from .fit import Row, error, fitted, typical

RUNS: dict[str, Run] = {
    "submit, one by one": submits(0.1, 1, 400),
    "submit, one by one, 1 KB": submits(1.0, 1, 400),
    "submit, 100 at once": submits(0.1, 100, 12_000),
    "submit, 100 at once, 1 KB": submits(1.0, 100, 12_000),
    "work, one by one": works(0.1, 1, 300),
    "work, one by one, 1 KB": works(1.0, 1, 300),
    "work, 64 at once, results of 1 KB": works(0.1, 64, 6400, 1.0),
    "a worker at full speed": drains(0.1, 10_000),
    "a worker at full speed, 1 KB": drains(1.0, 10_000),
    "an idle worker, job by job": picks_up(0.1, 270),
    "an idle worker, job by job, 1 KB": picks_up(1.0, 270),
    "an idle worker, every third job delayed": delays(270),
    "schedules that are due": ticks(100),
    "100 idle workers": idles(100, 8.0),
    "an idle worker of 8 queues, and a scheduler": idles(1, 8.0, queues=8),
    "nothing": nothing(2.0),
}
TRIALS = (in_bulk, one_by_one)


def main() -> int:
    if not os.environ.get("PAGE"):
        for found in measured(int(os.environ.get("ROUNDS", "5"))):
            FILE.write_text(json.dumps(found, indent=1) + "\n")
    page.write(read())
    return 0


def measured(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield what is known after each round."""
    repeats: dict[str, list[Any]] = {name: [] for name in RUNS}
    trials: list[list[by_workers.Trial]] = [[] for _ in TRIALS]
    memory = stored.measure()
    for number in range(1, rounds + 1):
        with warm_bench() as bench:
            for name, run in RUNS.items():
                repeats[name].append(run(bench))
        batch = median(events["worked"] / events["exchange"] for events, _ in repeats["a worker at full speed"])
        for found, trial in zip(trials, TRIALS, strict=True):
            with warm_bench() as bench:
                found.append(trial(bench, batch))
        print(f"finished round {number} of {rounds}", flush=True)
        yield _summary(number, batch, memory, repeats, trials)


def _summary(
    rounds: int,
    batch: float,
    memory: dict[str, float],
    repeats: dict[str, list[Any]],
    trials: list[list[by_workers.Trial]],
) -> dict[str, Any]:
    rows = [typical(name, each) for name, each in repeats.items()]
    costs = Costs(fitted(rows), memory, batch)
    return {
        "about": machine.describe(),
        "rounds": rounds,
        "batch": costs.batch,
        "flows": costs.flows,
        "memory": costs.memory,
        "runs": {row.name: _compared(costs, row) for row in rows},
        "trials": {each[0].what: _tried(costs, each) for each in trials},
    }


@contextmanager
def warm_bench() -> Iterator[Bench]:
    """A new server that has run all scripts."""
    with lab(CONTENDERS[0]) as made:
        bench = Bench(made)
        drains(0.1, 1000)(bench)
        yield bench


def _compared(costs: Costs, row: Row) -> dict[str, Any]:
    found = {flow: {"measured": row.flows[flow], "model": costs.of(row.events, flow)} for flow in FLOWS}
    return {"events": dict(row.events), **found}


def _tried(costs: Costs, repeats: list[by_workers.Trial]) -> dict[str, Any]:
    row = typical(repeats[0].what, [(trial.events, trial.measured) for trial in repeats])
    memory = {"measured": median(trial.memory for trial in repeats), "model": costs.stored(repeats[0].stored)}
    errors = {flow: round(error(costs, row, flow), 3) for flow in FLOWS}
    print(repeats[0].what, errors, "memory", round(memory["model"] / memory["measured"] - 1, 3), flush=True)
    return {**_compared(costs, row), "memory": memory}


if __name__ == "__main__":
    sys.exit(main())

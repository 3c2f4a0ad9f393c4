"""What the simulations have found: benchmarks/capacity/results.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from gopher.reads.capacity.staffing import INTERVAL

from .hindsight import schedule
from .policies import by_capacity, by_latency
from .simulation import Outcome, Simulation, follow
from .workload import HOUR, HOURS, Arrival, arrivals

FILE = Path(__file__).with_name("results.json")
WITHIN = 60.0
#: Each hour is simulated with several seeds.
SEEDS = (1, 2, 3)
#: The hour in the picture.
SHOWN = "mixed"


def simulated(hours: Sequence[str] = tuple(HOURS)) -> dict[str, Any]:
    """Return the outcomes of each hour; of the first seed with the schedule that is computed afterwards."""
    found: dict[str, Any] = {"within": WITHIN, "hours": {}}
    for name in hours:
        runs = []
        for seed in SEEDS:
            jobs = arrivals(HOURS[name], seed)
            outcomes = {"capacity": by(jobs, "capacity"), "latency": by(jobs, "latency")}
            if seed == SEEDS[0]:
                outcomes["afterwards"] = schedule(jobs, WITHIN, HOUR, _enough(outcomes["capacity"].wanted))
            if seed == SEEDS[0] and name == SHOWN:
                found["shown"] = {which: _course(jobs, outcome) for which, outcome in outcomes.items()}
            work = sum(job.seconds for job in jobs)
            figures = {which: _figures(outcome) for which, outcome in outcomes.items()}
            runs.append({"seed": seed, "jobs": len(jobs), "work": round(work), **figures})
            print(name, runs[-1], flush=True)
        found["hours"][name] = runs
    return found


def by(jobs: Sequence[Arrival], which: str, within: float = WITHIN) -> Outcome:
    """Return the outcome of an hour of jobs if the processes follow Gopher's answer, or queue latency alone."""
    policy = by_capacity(within) if which == "capacity" else by_latency(within)
    return follow(Simulation(jobs), policy, HOUR)


def read() -> Any:
    return json.loads(FILE.read_text())


def write(found: dict[str, Any]) -> None:
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def _enough(wanted: Sequence[int]) -> list[int]:
    """Return a schedule that is good enough to begin with: as many as there were around each interval, and more."""
    return [max(wanted[max(at - 1, 0) : at + 3]) + 2 for at in range(len(wanted))]


def _figures(outcome: Outcome) -> dict[str, float]:
    return {
        "within": round(outcome.share_within(WITHIN), 4),
        "p95": round(quantiles(outcome.waits, n=20)[-1], 1),
        "process_seconds": round(outcome.process_seconds),
    }


def _course(jobs: Sequence[Arrival], outcome: Outcome) -> dict[str, list[float]]:
    """Return for each interval the processes, and the longest wait of the jobs that arrived in it."""
    waits = [0.0] * (len(outcome.wanted) + 1)
    for job, wait in zip(jobs, outcome.waits, strict=True):
        place = int(job.at // INTERVAL)
        waits[place] = max(waits[place], round(wait, 1))
    return {"processes": list(map(float, outcome.wanted)), "waits": waits[: len(outcome.wanted)]}

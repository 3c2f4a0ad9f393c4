"""All storms at full size: `make chaos DURATION=10m SEED=1`, or `python -m tests.faults.chaos --duration 10m --seed 1`.

10 minutes is the full size; a shorter duration makes each storm smaller by as much, a longer one repeats all of
them with the seeds that follow. Prints one table. Exit code 1 when anything is lost, unfinished, or otherwise not as
it must be.
"""

# ruff: noqa: T201 - a program

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gopher.base.durations import parse_duration
from tests.faults.batch_storm import ENVIRON, batch_storm
from tests.faults.forgotten import forgotten_connections
from tests.faults.freeze_storm import ENVIRON as YIELDING
from tests.faults.freeze_storm import freeze_storm
from tests.faults.lab import System
from tests.faults.storms import (
    Report,
    full_memory,
    kill_storm,
    lost_replies,
    monsters,
    server_restarts,
    timeouts,
    zombies,
)
from tests.topologies.storm import Field, failovers
from tests.worker.processes import QUICK

#: Seconds that all storms take at full size.
FULL = 600.0
LEASE = 10.0
_ZOO = {"GOPHER_HANDLERS": "tests.monsters", "WORKER_MAX_CRASHES": "1", "WORKER_KILL_GRACE": QUICK["WORKER_KILL_GRACE"]}
_COLUMNS = ("storm", "faults", "accepted", "completed", "dead", "lost", "unfinished", "doubled", "twice", "refused",
            "recovery s", "seconds", "")  # fmt: skip


@dataclass(frozen=True)
class Storm:
    """A storm, at full size and at a share of it, on a system or a field."""

    run: Callable[[Any, float], Report]
    system: Callable[[int], System | Field]


def _least(full: int, scale: float, least: int) -> int:
    return max(round(full * scale), least)


def _system(seed: int, **options: object) -> System:
    return System(lease=f"{LEASE:g}s", seed=seed, **options)  # type: ignore[arg-type]


STORMS: dict[str, Storm] = {
    "kills": Storm(
        lambda system, scale: kill_storm(
            system, jobs=_least(10_000, scale, 300), kills=_least(30, scale, 8), settle=LEASE + 15
        ),
        _system,
    ),
    "kills, batch": Storm(
        lambda system, scale: batch_storm(system, jobs=_least(50_000, scale, 2000), kills=_least(30, scale, 6)),
        lambda seed: _system(seed, **ENVIRON),
    ),
    "restarts": Storm(
        lambda system, scale: server_restarts(system, jobs=_least(4000, scale, 400), times=_least(3, scale, 1)),
        # By default it writes its file up to 2 s late while the disk is busy: a kill would lose what it has answered.
        lambda seed: _system(seed, options={"appendfsync": "always"}),
    ),
    "replies": Storm(
        lambda system, scale: lost_replies(system, jobs=_least(5000, scale, 200)),
        lambda seed: _system(seed, proxied=True),
    ),
    "forgotten": Storm(
        lambda system, scale: forgotten_connections(system, jobs=_least(2000, scale, 200), times=_least(10, scale, 2)),
        lambda seed: _system(seed, proxied=True),
    ),
    "zombies": Storm(
        # Three results of zombies a round, and one child that has to be killed.
        lambda system, scale: zombies(system, rounds=_least(34, scale, 2), lease=3.0),
        lambda seed: System(lease="3s", seed=seed),
    ),
    "freezes": Storm(
        lambda system, scale: freeze_storm(
            system, jobs=_least(150, scale, 12), urgent=_least(500, scale, 60), faults=_least(20, scale, 5), lease=3.0
        ),
        lambda seed: System(lease="3s", seed=seed, api=0, **YIELDING),
    ),
    "monsters": Storm(
        lambda system, scale: monsters(system, each=_least(4, scale, 1), honest=_least(1000, scale, 200), seconds=0.1),
        lambda seed: _system(seed, api=0, **_ZOO),
    ),
    "timeouts": Storm(
        lambda system, scale: timeouts(system, count=_least(368, scale, 24)), lambda seed: _system(seed, api=0)
    ),
    "timeouts, server away": Storm(
        lambda system, scale: timeouts(system, count=_least(32, scale, 8), away=10.0),
        # As many children as jobs: all of them have to be running when the server goes.
        lambda seed: System(children=16, lease="60s", api=0, seed=seed),
    ),
    "failovers, Sentinel": Storm(
        lambda field, scale: failovers(field, times=_least(8, scale, 4)), lambda seed: Field("Sentinel", seed)
    ),
    "failovers, cluster": Storm(
        lambda field, scale: failovers(field, times=_least(8, scale, 4)), lambda seed: Field("cluster", seed)
    ),
    "memory": Storm(lambda system, scale: full_memory(system, megabytes=_least(20, scale, 12)), _system),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--duration", default="10m", help="how long, about: 10m is the full size (default)")
    parser.add_argument("--seed", type=int, default=None, help="of everything that is drawn; default: a new one")
    parser.add_argument("--only", choices=STORMS, action="append", help="run these storms only")
    asked = parser.parse_args(arguments)
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    duration = parse_duration(asked.duration)
    print(f"SEED={seed} DURATION={asked.duration}", flush=True)
    began, rows = time.monotonic(), []
    for number in range(1000):
        rows += list(_round(seed + number, min(duration / FULL, 1.0), asked.only or list(STORMS)))
        # Another round only where there is time for most of one.
        if time.monotonic() - began + 0.7 * FULL > duration:
            break
    print(_table(rows))
    broken = [report for report, _ in rows if not report.sound]
    for report in broken:
        print(f"{report.name}: {report.audit}; {'; '.join(report.wrong[:10])}")
    print(f"SEED={seed}: " + ("something is wrong, see above" if broken else "nothing lost, nothing unfinished"))
    return 1 if broken else 0


def _round(seed: int, scale: float, names: list[str]) -> Iterator[tuple[Report, float]]:
    for name in names:
        began = time.monotonic()
        report = _run(name, seed, scale)
        took = time.monotonic() - began
        print(f"  {name}: {took:.0f} s, {'as it must be' if report.sound else 'WRONG'}", flush=True)
        yield report, took


def _run(name: str, seed: int, scale: float) -> Report:
    storm = STORMS[name]
    with storm.system(seed) as system, _told(system):
        return storm.run(system, scale)


@contextmanager
def _told(system: System | Field) -> Iterator[None]:
    """Show what the processes said when a storm breaks off."""
    try:
        yield
    except BaseException:
        sys.stderr.write(system.logs()[-20_000:])
        raise


def _table(rows: list[tuple[Report, float]]) -> str:
    cells = [_COLUMNS, *(_cells(report, took) for report, took in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(_COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in cells
    )


def _cells(report: Report, took: float) -> tuple[str, ...]:
    audit = report.audit
    numbers = (report.faults, audit.accepted, audit.completed, audit.dead, len(audit.lost), len(audit.unfinished),
               len(audit.doubled), len(audit.twice), report.refused)  # fmt: skip
    return (report.name, *map(str, numbers), _spread(report.recoveries), f"{took:.0f}", report.notes)


def _spread(seconds: list[float]) -> str:
    """Return the middle and the longest of recovery times."""
    if not seconds:
        return ""
    return f"{sorted(seconds)[len(seconds) // 2]:.2f}, max {max(seconds):.2f}"


if __name__ == "__main__":
    sys.exit(main())

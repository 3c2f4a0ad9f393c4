"""A storm of connections that something on the way forgets, without a word to either side."""

import time

from tests.faults.lab import System
from tests.faults.load import Load
from tests.faults.storms import Report, close
from tests.helpers import wait_until


def forgotten_connections(system: System, *, jobs: int, times: int, seconds: float = 0.01) -> Report:
    """Forget all connections again and again while jobs come in and run: no submission is rejected."""
    report, proxy = Report("connections forgotten on the way", faults=times), system.proxy
    assert proxy is not None
    with Load(system.address, jobs, payload={"seconds": seconds}, threads=4) as load:
        for at in range(times):
            wait_until(
                lambda at=at: load.done or len(load.accepted) >= jobs * (at + 0.5) / times, 120, "jobs to come in"
            )
            before, began = len(load.accepted), time.monotonic()
            proxy.forget()
            wait_until(lambda before=before: load.done or len(load.accepted) > before + 4, 30, "jobs to be accepted")
            report.recoveries.append(time.monotonic() - began)
    system.wait(load.ids, 60 + jobs / 50)
    close(report, system, load)
    report.expect(not load.answers[503], f"{load.answers[503]} submissions were rejected")
    report.expect(not report.audit.twice, f"{len(report.audit.twice)} jobs ran twice")
    return report

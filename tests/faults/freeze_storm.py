"""Long jobs are frozen all the time by urgent ones, while workers and frozen children are killed or stopped."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from gopher.base.times import from_rfc3339
from tests.faults.lab import System, kill
from tests.faults.storms import Report
from tests.helpers import wait_until
from tests.worker.processes import Process

ENVIRON = {"GOPHER_HANDLERS": "tests.faults.yielding_handlers", "WORKER_SHUTDOWN_TIMEOUT": "10s"}
#: Seconds that a long job may take, and that it takes where nothing delays it.
TIMEOUT, TAKES = 30.0, 1.0


def freeze_storm(system: System, *, jobs: int, urgent: int, faults: int, lease: float) -> Report:
    """Run the storm: everything ends, nothing times out, and nothing stays stopped."""
    report = Report("freezes")
    longs = [_enqueue_long(system) for _ in range(jobs)]
    plan = [[*FAULTS][at % len(FAULTS)] for at in range(faults)]
    system.random.shuffle(plan)
    urgents: list[str] = []
    for at in range(urgent):
        urgents.append(_enqueue_urgent(system, 0.02))
        time.sleep(system.random.uniform(0, 0.06))
        _keep_busy(system, longs)
        if plan and at >= urgent / (faults + 1) * (faults + 1 - len(plan)):
            urgents += _cause(system, plan.pop(), longs, lease)
    system.wait([*longs, *urgents], 300)
    report.faults = system.totals("frozen")
    report.audit = system.audit([("-", job_id) for job_id in (*longs, *urgents)])
    report.recoveries = _waits(system, urgents)
    report.expect(report.faults >= urgent / 10, f"only {report.faults} jobs were frozen")
    report.expect(not report.audit.dead, f"{report.audit.dead} jobs have failed")
    wait_until(lambda: not any(_stopped(worker) for worker in system.workers), 60, "all processes to continue")
    report.wrong += system.findings()
    report.notes = f"{faults} kills, stops, lost leases and cancellations; recovery: how long urgent jobs waited"
    return report


def _enqueue_long(system: System) -> str:
    payload = {"steps": round(TAKES / 0.02)}
    return system.client.enqueue("faults.yield", payload, timeout=f"{TIMEOUT:g}s", priority="low")


def _keep_busy(system: System, longs: list[str]) -> None:
    """Add long jobs if the others have ended while we had no processor: else nothing would be frozen."""
    wanted = system.concurrency * len(system.workers)
    while system.unfinished(longs) < wanted:
        longs.append(_enqueue_long(system))


def _enqueue_urgent(system: System, seconds: float) -> str:
    return system.client.enqueue("faults.urgent", {"seconds": seconds}, priority="high")


def _cause(system: System, kind: str, longs: list[str], lease: float) -> list[str]:
    """Have jobs frozen, and cause a fault. Returns the ids of the urgent jobs."""
    ids: list[str] = []

    def victim() -> Process | None:
        _keep_busy(system, longs)
        if not system.unfinished(ids):
            ids.extend(_enqueue_urgent(system, 0.5) for _ in range(4))
        return next(filter(_stopped, system.workers), None)

    FAULTS[kind](system, wait_until(victim, 60, "a job to be frozen"), lease)
    return ids


def _kill_supervisor(system: System, worker: Process, lease: float) -> None:
    kill(worker.pid)
    # What it has left behind is not killed for it.
    wait_until(lambda: not _stopped(worker), 60, "nothing to be left stopped by a worker that was killed")
    system.restart_worker(worker)


def _kill_child(system: System, worker: Process, lease: float) -> None:
    for pid in _stopped(worker)[:1]:
        kill(pid)


def _cancel(system: System, worker: Process, lease: float) -> None:
    stopped = _stopped(worker)
    running = {entry.pid: entry.job_id for entry in system.events() if entry.event == "start"}
    for job_id in [running[pid] for pid in stopped if pid in running][:1]:
        system.client.cancel(job_id)


def _stop(system: System, worker: Process, lease: float) -> None:
    worker.send(signal.SIGTERM)
    worker.wait(60)
    system.restart_worker(worker)


def _lose_lease(system: System, worker: Process, lease: float) -> None:
    worker.send(signal.SIGSTOP)
    time.sleep(lease + 1)
    worker.send(signal.SIGCONT)


FAULTS: dict[str, Callable[[System, Process, float], None]] = {
    "kill": _kill_supervisor,
    "child": _kill_child,
    "cancel": _cancel,
    "stop": _stop,
    "lease": _lose_lease,
}


def _stopped(worker: Process) -> list[int]:
    """Return the stopped processes of a worker's session, apart from its supervisor."""
    found = []
    for pid in worker.session():
        with suppress(psutil.Error):
            if pid != worker.pid and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                found.append(pid)
    return found


def _waits(system: System, ids: list[str]) -> list[float]:
    """Return how long (s) jobs waited that were started once."""
    found = []
    for job_id in ids:
        view = system.client.job(job_id)
        if view.attempts == 1 and view.started_at is not None:
            found.append((from_rfc3339(view.started_at) - from_rfc3339(view.created_at)) / 1000)
    return found

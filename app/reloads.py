"""Reloads on SIGHUP without a gap: old processes serve until as many new ones do.

gunicorn stops the old ones at once, so that no process answers while the new ones load the application. Meanwhile it
handles no other signal.
"""

import signal
import time
from functools import partial
from typing import Any


def install(arbiter: Any) -> None:
    arbiter.handle_hup = partial(_handle_hup, arbiter)
    arbiter.manage_workers = partial(_manage_workers, arbiter)


def _handle_hup(arbiter: Any) -> None:
    """Start as many new processes as there are to be. Our configuration is in the environment, which stays the same."""
    for _ in range(arbiter.num_workers):
        arbiter.spawn_worker()


def _manage_workers(arbiter: Any) -> None:
    """Start missing processes, and stop those that are too many, oldest first (in place of gunicorn's)."""
    if len(arbiter.WORKERS) < arbiter.num_workers:
        arbiter.spawn_workers()
    by_age = sorted(arbiter.WORKERS.items(), key=lambda item: item[1].age)
    excess = max(len(by_age) - arbiter.num_workers, 0)
    replaced = all(serves(worker) for _, worker in by_age[excess:])
    for pid, worker in by_age[:excess]:
        # One that does not serve yet was replaced by another reload.
        if replaced or not serves(worker):
            arbiter.kill_worker(pid, signal.SIGTERM)


def serves(worker: Any) -> bool:
    """Return whether a process has reported to its arbiter, which it does once it serves.

    It sets its file to the monotonic clock. A new file has the time of day, which is later.
    """
    last: float = worker.tmp.last_update()
    return last <= time.monotonic()

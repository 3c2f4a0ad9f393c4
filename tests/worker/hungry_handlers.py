"""Handlers that take memory, for the tests of admission."""

import os
import time
from pathlib import Path

from gopher import Job, handler
from tests.helpers import note_started


def _fill(megabytes: int) -> bytes:
    return os.urandom(1) * (megabytes * 2**20)


@handler("fill", timeout=60)
def fill(job: Job, payload: dict) -> int:
    """Keeps N MiB until the file `until` is there."""
    kept = _fill(payload["megabytes"])
    note_started(job.id)
    while not Path(payload["until"]).exists():
        time.sleep(0.02)
    return len(kept)


@handler("grow", timeout=60)
def grow(job: Job, payload: dict) -> int:
    """Takes 10 MiB at a time up to N MiB."""
    note_started(job.id)
    kept = []
    while len(kept) * 10 < payload["megabytes"]:
        kept.append(_fill(10))
        # Slowly, for a supervisor that is late to look.
        time.sleep(0.05)
    return len(kept)


@handler("refused")
def refused(job: Job, payload: dict) -> None:
    note_started(job.id)
    raise MemoryError


@handler("small")
def small(job: Job, payload: dict) -> int:
    return os.getpid()

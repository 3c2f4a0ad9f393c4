"""Handlers that the system kills, or what they have started: its counter of kills is a file here.

No machine must run out of memory for that.
"""

import os
import signal
import time
from pathlib import Path

from gopher.worker.children import oom_kills

from gopher import Job, handler

_KILLS = Path(os.environ["KILLS"])
oom_kills.oom_kills = lambda: 10**6 + _KILLS.stat().st_size


@handler("burst", timeout=60)
def burst(job: Job, payload: dict) -> None:
    """Take N MiB at once, and be killed for it."""
    kept = os.urandom(1) * (payload["megabytes"] * 2**20)
    with _KILLS.open("ab") as kills:
        kills.write(kept[:1])
    os.kill(os.getpid(), signal.SIGKILL)


@handler("spared", timeout=60)
def spared(job: Job, payload: dict) -> None:
    """Start a process that the system kills; be killed by something else when the file `until` is there."""
    with _KILLS.open("ab") as kills:
        kills.write(b".")
    while not os.path.exists(payload["until"]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

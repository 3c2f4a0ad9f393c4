"""Long jobs that may be frozen, and urgent ones. Those with a `mark` write their pid into that file when they begin."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gopher.worker.children.stacks import SIGNAL

from gopher import Job, handler

#: What all processes of a worker share, as large libraries are.
_BALLAST = os.urandom(1) * (int(os.environ.get("BALLAST", "0")) * 2**20)


def _begun(payload: dict) -> None:
    if mark := payload.get("mark"):
        made = Path(f"{mark}.new")
        made.write_text(str(os.getpid()))
        made.rename(mark)


@handler("long", preemptible=True, timeout="10m")
def long(job: Job, payload: dict) -> dict:
    """Take so much memory, until the file `until` is there."""
    deadline, _held = job.deadline, b"x" * payload.get("memory", 0)
    _begun(payload)
    until, done = Path(payload["until"]) if "until" in payload else None, 0
    while until and not until.exists():
        time.sleep(0.01)
        done += 1
    return {"moved": job.deadline - deadline, "looks": done}


@handler("deaf", preemptible=True, timeout="10m")
def deaf(job: Job, payload: dict) -> None:
    """Go on until it is killed."""
    _begun(payload)
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001
            continue


@handler("mute", timeout="10m")
def mute(job: Job, payload: dict) -> None:
    """Do not answer who asks for its stack."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    _begun(payload)
    while not os.path.exists(payload["until"]):
        time.sleep(0.01)


@handler("family", preemptible=True, timeout="10m")
def family(job: Job, payload: dict) -> None:
    """Start a process in the same group, one in a session of its own, and one that is stopped."""
    clock = [sys.executable, "-c", _CLOCK]
    processes = [
        subprocess.Popen([*clock, payload["group"]]),
        subprocess.Popen([*clock, payload["session"]], start_new_session=True),
    ]
    _begun(payload)
    try:
        while not os.path.exists(payload["until"]):
            time.sleep(0.01)
    finally:
        for process in processes:
            process.kill()


#: Writes its pid, then counts.
_CLOCK = """
import os, sys, time
number = 0
while True:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(f"{os.getpid()} {number}")
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    number += 1
    time.sleep(0.01)
"""


@handler("urgent", timeout="10m")
def urgent(job: Job, payload: dict) -> float:
    began = time.monotonic()
    _begun(payload)
    until = Path(payload["until"]) if "until" in payload else None
    while until and not until.exists():
        time.sleep(0.01)
    time.sleep(payload.get("seconds", 0.0))
    return began

"""Handlers that use what they are told to. `GOPHER_HANDLERS=tests.worker.using_handlers`."""

import subprocess
import sys
import threading
import time
from typing import Any

from gopher.worker.children.watch import watch

from gopher import Job, handler

_BURNING = "import time\nwhile time.process_time() < {}: pass"


@handler("use", max_retries=0)
def use(job: Job, payload: dict[str, Any]) -> None:
    """Use CPU time (s) here, in a thread or in a subprocess, and memory (bytes), for so long (s) at least."""
    began = time.monotonic()
    held = bytearray(payload.get("memory", 0))
    # So that all of it is resident.
    held[::4096] = b"x" * len(held[::4096])
    burn(payload.get("cpu", 0.0))
    thread = threading.Thread(target=burn, args=[payload.get("thread", 0.0)])
    thread.start()
    thread.join()
    if "subprocess" in payload:
        subprocess.run([sys.executable, "-S", "-c", _BURNING.format(payload["subprocess"])], check=True)
    time.sleep(max(payload.get("seconds", 0.0) - (time.monotonic() - began), 0.0))
    if payload.get("fails"):
        raise ValueError("as told")


def burn(seconds: float) -> None:
    """Use so much CPU time of this process."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@handler("noted", timeout=60)
def noted(job: Job, payload: dict) -> bool:
    """Returns whether a call that may change the state of the process has been noted before its own."""
    before = watch.called
    kept = bytearray(20 * 2**20)
    time.sleep(0.06)
    return before and bool(kept)

"""Handlers whose place in their code is looked at; each creates the file `mark` when it has begun."""

import ctypes
import faulthandler
import os
import signal
import threading
import time
from contextlib import suppress

from gopher.worker.children.stacks import SIGNAL

from gopher import Job, handler


def _begun(payload: dict) -> None:
    open(payload["mark"], "w").close()


def _is_over(payload: dict) -> bool:
    """Return whether the file `until` is there."""
    return os.path.exists(payload["until"])


@handler("hangs_in_c")
def hangs_in_c(job: Job, payload: dict) -> None:
    libc = ctypes.PyDLL(None)  # holds the interpreter's lock
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            libc.signal(number, 1)
    _begun(payload)
    while True:
        libc.sleep(60)


@handler("resets_signals")
def resets_signals(job: Job, payload: dict) -> None:
    """Gives all signals that action, or takes the reports away; then goes on until the file `until` is there."""
    if payload["action"] == "unregister":
        faulthandler.unregister(SIGNAL)
    else:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with suppress(OSError):
                signal.signal(number, getattr(signal, payload["action"]))
    naps(job, payload)


@handler("crashes")
def crashes(job: Job, payload: dict) -> None:
    _begun(payload)
    faulthandler._sigsegv()


@handler("blocks_signals")
def blocks_signals(job: Job, payload: dict) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    naps(job, payload)


@handler("naps")
def naps(job: Job, payload: dict) -> None:
    """Sleeps for `seconds`, or until the file `until` is there."""
    _begun(payload)
    if "seconds" in payload:
        time.sleep(payload["seconds"])
    else:
        while not _is_over(payload):
            time.sleep(0.01)


@handler("renames_itself")
def renames_itself(job: Job, payload: dict) -> None:
    """Gives its process a name that the system cuts within a character."""
    ctypes.CDLL(None).prctl(15, "üüüüüüüü".encode(), 0, 0, 0)  # PR_SET_NAME
    naps(job, payload)


@handler("burns")
def burns(job: Job, payload: dict) -> None:
    _begun(payload)
    while not _is_over(payload):
        pass


@handler("awaits")
async def awaits(job: Job, payload: dict) -> None:
    naps(job, payload)


def _rest(until: threading.Event) -> None:
    until.wait()


@handler("waits_for_threads")
def waits_for_threads(job: Job, payload: dict) -> None:
    until = threading.Event()
    for _ in range(2):
        threading.Thread(target=_rest, args=(until,), daemon=True).start()
    _begun(payload)
    until.wait(60)


@handler("closes_files")
def closes_files(job: Job, payload: dict) -> None:
    os.closerange(3, 200)
    _begun(payload)
    time.sleep(60)

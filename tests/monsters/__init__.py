"""Handlers that behave badly, each in its own way, and a few honest ones, for the tests of the worker."""

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
from typing import Any

from gopher import Cancelled, Discard, Job, Retry, Snooze, SoftTimeout, handler

# The honest ones


@handler("echo")
def echo(job: Job, payload: dict) -> Any:
    """Returns its payload."""
    return payload


@handler("nap")
def nap(job: Job, payload: dict) -> Any:
    """Sleeps for `seconds`, and appends its id to the file `ledger` when it has."""
    time.sleep(payload["seconds"])
    if "ledger" in payload:
        with open(payload["ledger"], "a") as ledger:
            ledger.write(f"{job.id} {job.attempt}\n")
    return payload["seconds"]


@handler("chat")
def chat(job: Job, payload: dict) -> None:
    """Speaks in every way there is."""
    print("printed", payload["n"])
    print("to stderr", payload["n"], file=sys.stderr)
    job.log("logged %d", payload["n"])
    job.progress(0.5, "half way")
    os.write(1, b"behind Python's back %d\n" % payload["n"])
    subprocess.run(["/bin/echo", f"by a program {payload['n']}"], check=True)


@handler("slow_progress")
def slow_progress(job: Job, payload: dict) -> str:
    job.progress(0.25, "a quarter")
    print("begun", flush=True)
    time.sleep(payload["seconds"])
    return "done"


@handler("flaky", backoff="constant")
def flaky(job: Job, payload: dict) -> int:
    """Fails until attempt `succeed_at`."""
    if job.attempt < payload["succeed_at"]:
        raise Retry("not yet", after=payload.get("after", "50ms"))
    return job.attempt


@handler("raise", permanent=(LookupError,))
def raise_(job: Job, payload: dict) -> None:
    """Raises the built-in exception named `error`."""
    import builtins

    raise getattr(builtins, payload["error"])(payload.get("message", "boom"))


@handler("discard")
def discard(job: Job, payload: dict) -> None:
    raise Discard("never mind")


@handler("snooze")
def snooze(job: Job, payload: dict) -> str:
    """Snoozes once: the file `mark` says whether it did."""
    if not os.path.exists(payload["mark"]):
        open(payload["mark"], "w").close()
        raise Snooze("100ms")
    return f"attempt {job.attempt}"


@handler("patient")
def patient(job: Job, payload: dict) -> None:
    """Notes in the file `mark` what it is interrupted by."""
    try:
        time.sleep(60)
    except (SoftTimeout, Cancelled) as error:
        with open(payload["mark"], "w") as mark:
            mark.write(f"{type(error).__name__} cancelled={job.cancelled()}")
        raise


# The monsters


@handler("hang_in_c")
def hang_in_c(job: Job, payload: dict) -> None:
    libc = ctypes.PyDLL(None)  # holds the interpreter's lock
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            libc.signal(number, 1)
    libc.sleep(60)
    while True:
        libc.sleep(60)


@handler("exit")
def exit_(job: Job, payload: dict) -> None:
    os._exit(payload.get("code", 0))


@handler("segfault")
def segfault(job: Job, payload: dict) -> None:
    print("last words", flush=True)
    faulthandler._sigsegv()


@handler("kill_self")
def kill_self(job: Job, payload: dict) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handler("flood")
def flood(job: Job, payload: dict) -> str:
    line = "x" * 99
    for _ in range(payload["bytes"] // 100):
        print(line)
    print("the end")
    return "said it all"


@handler("return_object")
def return_object(job: Job, payload: dict) -> Any:
    kind = payload.get("kind", "object")
    cycle: list = []
    cycle.append(cycle)
    return {
        "object": object(),
        "set": {"sizes": [1, {2}]},
        "nan": {"a": float("nan")},
        "bytes": b"x",
        "cycle": cycle,
        "surrogate": "\ud800",
        "huge": "x" * 10**6,
    }[kind]


@handler("swallow")
def swallow(job: Job, payload: dict) -> None:
    """Ignores every exception that it is interrupted by."""
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: S110
            pass


@handler("orphan")
def orphan(job: Job, payload: dict) -> int:
    """Leaves a program behind, then dies."""
    program = subprocess.Popen(["/bin/sleep", "300"])
    print("left behind", program.pid, flush=True)
    os._exit(3)


@handler("leave_behind")
def leave_behind(job: Job, payload: dict) -> int:
    """Leaves a program behind that holds on to the output, and ends well."""
    return subprocess.Popen(["/bin/sleep", "300"]).pid


@handler("close_everything")
def close_everything(job: Job, payload: dict) -> None:
    os.closerange(0, 1000)


@handler("bad_str")
def bad_str(job: Job, payload: dict) -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message for you")

    raise Nasty

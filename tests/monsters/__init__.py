"""Handlers that behave badly, each in its own way, and a few honest ones, for the tests of the worker."""

# ruff: noqa: BLE001, T201 - they print, and one catches all that it can

import ctypes
import faulthandler
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec

from gopher import Cancelled, Discard, Job, RateLimited, Retry, Snooze, SoftTimeout, current_job, handler
from tests.helpers import note_started

_libc = ctypes.CDLL(None)

# The honest ones


@handler("echo")
def echo(job: Job, payload: dict) -> Any:
    """Returns its payload."""
    return payload


@handler("nap")
def nap(job: Job, payload: dict) -> Any:
    """Sleeps for `seconds`, and appends its id to the file `ledger` when it has."""
    note_started(job.id)
    time.sleep(payload["seconds"])
    if "ledger" in payload:
        with open(payload["ledger"], "a") as ledger:
            ledger.write(f"{job.id} {job.attempt}\n")
    return payload["seconds"]


@handler("note")
def note(job: Job, payload: dict) -> None:
    """Appends a word to the file `ledger`."""
    with open(payload["ledger"], "a") as ledger:
        ledger.write(payload["word"] + "\n")


@handler("chat")
def chat(job: Job, payload: dict) -> None:
    """Speaks in every way there is."""
    n = payload["n"]
    print("printed", n)
    print("to stderr", n, file=sys.stderr)
    job.log("said %d", n)
    job.progress(0.5, "half way")
    os.write(1, b"behind Python's back %d\n" % n)
    _libc.dprintf(2, b"from C %d\n", n)
    subprocess.run(["/bin/echo", f"by a program {n}"], check=True)
    logging.getLogger("monsters").warning("logged %d", n)
    print("at the end", n, end="")


@handler("say")
def say(job: Job, payload: dict) -> None:
    """Says its number once, in one way."""
    text = f"number {payload['n']}"
    if payload["way"] == "print":
        print(text)
    elif payload["way"] == "log":
        job.log(text)
    elif payload["way"] == "unfinished":
        print(text, end="")
    elif payload["way"] == "C":
        _libc.dprintf(1, b"%s\n", text.encode())
    else:
        subprocess.run(["/bin/echo", text], check=True)


@handler("say_and_fail")
def say_and_fail(job: Job, payload: dict) -> None:
    job.log("attempt %d", job.attempt)
    if job.attempt < payload["succeed_at"]:
        raise Retry(after="10ms")


@handler("progress")
def progress(job: Job, payload: dict) -> int:
    job.progress(payload["n"] / 100, str(payload["n"]))
    return payload["n"]


@handler("read_input")
def read_input(job: Job, payload: dict) -> str:
    return sys.stdin.read()


@handler("draw")
def draw(job: Job, payload: dict) -> float:
    return random.random()


@handler("loud_thread")
def loud_thread(job: Job, payload: dict) -> None:
    """Leaves a thread behind that prints for a while."""
    until = time.monotonic() + payload["seconds"]

    def speak() -> None:
        while time.monotonic() < until:
            print("still here")
            time.sleep(0.005)

    threading.Thread(target=speak, daemon=True).start()


@handler("slow_progress")
def slow_progress(job: Job, payload: dict) -> str:
    job.progress(0.25, "a quarter")
    print("begun", flush=True)
    time.sleep(payload["seconds"])
    return "done"


class Throttled(RateLimited):
    """Does not call the constructor of its base: `retry_after` is what a service has said, if it has said it."""

    def __init__(self, after: str | None) -> None:
        Exception.__init__(self, "try later")
        if after is not None:
            self.retry_after = float(after)


@handler("throttled", max_retries=0)
def throttled(job: Job, payload: dict) -> None:
    """Is rate-limited once: for `after`, which may be no time."""
    if job.attempt == 1 and not os.path.exists(payload["mark"]):
        open(payload["mark"], "w").close()
        raise Throttled(payload.get("after"))


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
        note_started(job.id)
        time.sleep(60)
    except (SoftTimeout, Cancelled) as error:
        with open(payload["mark"], "w") as mark:
            mark.write(f"{type(error).__name__} cancelled={job.cancelled()}")
        raise


@handler("recovers")
def recovers(job: Job, payload: dict) -> str:
    """Ends well when its time is up."""
    try:
        time.sleep(60)
    except SoftTimeout:
        return "partial"
    return "all of it"


@handler("impatient", timeout="200ms", max_retries=0)
def impatient(job: Job, payload: dict) -> None:
    time.sleep(60)


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    n: int


@handler("strict")
def strict(job: Job, payload: Strict) -> int:
    return payload.n


@handler("who_am_i")
def who_am_i(job: Job, payload: dict) -> dict:
    names = ("id", "type", "queue", "priority", "attempt", "max_retries", "metadata")
    told = {name: getattr(job, name) for name in names}
    return {**told, "left": job.deadline - time.time(), "current": current_job() is job}


@handler("length")
def length(job: Job, payload: dict) -> int:
    return len(payload["text"])


@handler("parents")
def parents(job: Job, payload: dict) -> int:
    return sum(result["n"] for result in job.parents.values())


@handler("once")
def once(job: Job, payload: dict) -> str:
    """Takes its child with it the first time: the file `mark` says whether it did."""
    if not os.path.exists(payload["mark"]):
        open(payload["mark"], "w").close()
        os._exit(9)
    return "ok"


@handler("finishes_up")
def finishes_up(job: Job, payload: dict) -> dict:
    """Ends in order when it is cancelled."""
    try:
        note_started(job.id)
        time.sleep(60)
    except Cancelled:
        pass
    return {"cancelled": job.cancelled()}


@handler("finishes_up_after")
def finishes_up_after(job: Job, payload: dict) -> dict:
    note_started(job.id)
    time.sleep(payload["seconds"])
    return {"cancelled": job.cancelled()}


@handler("pid")
def pid(job: Job, payload: dict) -> int:
    return os.getpid()


_hoard: list[bytes] = []


@handler("hoard")
def hoard(job: Job, payload: dict) -> int:
    """Keeps memory for ever."""
    _hoard.append(bytes(os.urandom(1)) * payload["megabytes"] * 10**6)
    time.sleep(payload.get("seconds", 0))
    return os.getpid()


@handler("nap_once")
def nap_once(job: Job, payload: dict) -> None:
    """Sleeps in its first attempt only, and appends to the file `ledger`."""
    note_started(job.id)
    if job.attempt == 1:
        time.sleep(payload["first"])
    with open(payload["ledger"], "a") as ledger:
        ledger.write(f"{job.attempt}\n")


@handler("burn")
def burn(job: Job, payload: dict) -> None:
    """Keeps a core busy."""
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        pass


@handler("surroundings")
def surroundings(job: Job, payload: dict) -> dict:
    """Tells what it finds, and changes it when asked to."""
    umask = os.umask(0o022)
    os.umask(umask)
    found = {
        "folder": os.getcwd(),
        "umask": umask,
        "path": os.environ.get("PATH"),
        "marker": os.environ.get("MARKER"),
        "timeout": socket.getdefaulttimeout(),
        "alarm": signal.getsignal(signal.SIGALRM) == signal.SIG_DFL,
        "term": signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN),
        "pid": os.getpid(),
    }
    if payload.get("change"):
        os.chdir("/")
        os.umask(0o777)
        os.environ["MARKER"] = "left behind"
        del os.environ["PATH"]
        socket.setdefaulttimeout(3)
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    return found


@handler("swell")
def swell(job: Job, payload: dict) -> int:
    """Takes memory and gives it back."""
    return len(bytes(payload["megabytes"] * 10**6))


@handler("alone", exclusive=True)
def alone(job: Job, payload: dict) -> None:
    """Must never run twice at once. Takes `seconds`, or until the file `until` is there."""
    note_started(job.id)
    time.sleep(payload.get("seconds", 0.0))
    while "until" in payload and not os.path.exists(payload["until"]):
        time.sleep(0.02)


# The monsters


@handler("hang_in_c")
def hang_in_c(job: Job, payload: dict) -> None:
    libc = ctypes.PyDLL(None)  # holds the interpreter's lock
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            libc.signal(number, 1)
    note_started(job.id)
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
            note_started(job.id)
            time.sleep(60)
        except BaseException:
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


@handler("junk")
def junk(job: Job, payload: dict) -> None:
    """Writes into every descriptor there is, the channel to its supervisor among them."""
    for number in range(3, 64):
        try:
            os.write(number, b"\x00junk")
        except OSError:
            pass
    time.sleep(1)


@handler("recurse")
def recurse(job: Job, payload: dict) -> None:
    recurse(job, payload)


@handler("bad_str")
def bad_str(job: Job, payload: dict) -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no message for you")

    raise Nasty

"""Handlers that leave something behind in their child, and one that looks for it: see `LEFT`."""

# ruff: noqa: T201 - they print, and close nothing

import faulthandler
import io
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from gopher import Job, handler

_NOTHING = os.open(os.devnull, os.O_WRONLY)

LEFT: dict[str, Callable[[], Any]] = {}


def leaves(function: Callable[[], Any]) -> Callable[[], Any]:
    """Add what a job may leave behind."""
    LEFT[function.__name__.replace("_", " ")] = function
    return function


def _raise(*_: object) -> None:
    raise RuntimeError("a signal of a job that is over")


def _counted(*_: object) -> None:
    pass


# Timers


@leaves
def an_alarm() -> None:
    signal.alarm(1)


@leaves
def a_timer_of_real_time() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)


@leaves
def a_timer_of_its_own_cpu_time() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05, 0.05)


@leaves
def a_timer_of_cpu_time() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.05, 0.05)


@leaves
def a_timer_whose_handler_raises() -> None:
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.001)


@leaves
def a_dump_that_ends_the_process() -> None:
    faulthandler.dump_traceback_later(0.2, exit=True)


@leaves
def an_alarm_that_is_blocked_and_pending() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while signal.SIGALRM not in signal.sigpending():
        pass


# Signals


@leaves
def a_blocked_signal() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


@leaves
def all_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@leaves
def all_signals_ignored() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number < 32:
            signal.signal(number, signal.SIG_IGN)


@leaves
def handlers_that_raise() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPROF):
        signal.signal(number, _raise)


@leaves
def a_wakeup_descriptor() -> None:
    signal.set_wakeup_fd(os.open(os.devnull, os.O_WRONLY | os.O_NONBLOCK))


@leaves
def dumps_at_signals() -> None:
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGALRM):
        faulthandler.register(number, file=_NOTHING)


@leaves
def no_report_of_crashes() -> None:
    faulthandler.disable()


# Standard streams


@leaves
def replaced_streams() -> None:
    sys.stdout = sys.stderr = sys.stdin = io.StringIO()


@leaves
def a_replaced_error_stream() -> None:
    sys.stderr = io.StringIO()


@leaves
def no_streams() -> None:
    sys.stdout = sys.stderr = sys.stdin = None  # type: ignore[assignment]


@leaves
def closed_streams() -> None:
    sys.stdout.close()
    sys.stdin.close()


@leaves
def detached_streams() -> None:
    sys.stdout.detach()
    sys.stdin.detach()


@leaves
def a_stream_that_takes_ascii_only() -> None:
    sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]


@leaves
def a_stream_that_gathers() -> None:
    sys.stdout.reconfigure(line_buffering=False)  # type: ignore[union-attr]


@leaves
def deleted_streams() -> None:
    del sys.stdout, sys.stderr


@leaves
def closed_descriptors() -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)


@leaves
def closed_descriptors_with_text_before_them() -> None:
    print("half a line", end="")
    os.close(1)


@leaves
def output_closed_with_a_file_on_it() -> None:
    with open(1, "w") as file:
        file.write("")


@leaves
def a_redirected_output() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


@leaves
def a_file_in_place_of_the_output() -> None:
    os.close(1)
    assert os.open(os.devnull, os.O_WRONLY) == 1


# Others


@leaves
def a_folder_a_umask_and_a_variable() -> None:
    os.chdir("/")
    os.umask(0o777)
    os.environ["LEFT"] = "behind"


@leaves
def another_mapping_as_the_environment() -> None:
    os.environ = {"LEFT": "behind"}  # type: ignore[assignment]  # noqa: B003 - as some do


_LIMITED = (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)


@leaves
def limits_of_the_system() -> None:
    for each, soft in zip(_LIMITED, (8, 3600, 100), strict=True):
        resource.setrlimit(each, (soft, resource.getrlimit(each)[1]))


@leaves
def a_recursion_limit() -> None:
    sys.setrecursionlimit(120)


@leaves
def a_trace_function() -> None:
    sys.settrace(_counted)
    sys.setprofile(_counted)


@leaves
def another_time_zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


@handler("leave")
def leave(job: Job, payload: dict) -> int:
    """Leaves behind what `what` names; returns its process."""
    LEFT[payload["what"]]()
    return os.getpid()


@handler("found")
def found(job: Job, payload: dict) -> dict:
    """Speaks in every way, burns and sleeps for a moment, and tells what it finds."""
    print("printed ö")
    print("to stderr", file=sys.stderr)
    job.log("said ö")
    logging.getLogger("found").warning("logged")
    os.write(1, b"to 1\n")
    os.write(2, b"to 2\n")
    timers = [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)]
    wakeup = signal.set_wakeup_fd(-1)
    until = time.monotonic() + payload.get("seconds", 0.3)
    while time.monotonic() < until:
        pass
    return {
        "pid": os.getpid(),
        "input": sys.stdin.read(),
        "timers": timers,
        "wakeup": wakeup,
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "pending": sorted(map(int, signal.sigpending())),
        "handlers": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals()) if number < 32],
        "reports crashes": faulthandler.is_enabled(),
        "folder": os.getcwd(),
        "umask": _umask(),
        "variable": os.environ.get("LEFT"),
        "limits": [
            resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
        ],
        "recursion": sys.getrecursionlimit(),
        "traced": sys.gettrace() is not None or sys.getprofile() is not None,
        "zone": time.localtime().tm_gmtoff,
    }


def _umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


@handler("waits")
def waits(job: Job, payload: dict) -> None:
    time.sleep(60)


# What is noted of calls


@handler("look_at_noted_functions")
def look_at_noted_functions(job: Job, payload: dict) -> list[str]:
    """Returns those that can't be sent to another process, or are not what their module says of them."""
    noted = [os.chdir, os.close, os.dup2, os.umask, signal.alarm, signal.signal, resource.setrlimit, sys.settrace]
    wrong = [each.__name__ for each in noted if pickle.loads(pickle.dumps(each)) is not each]
    return wrong + ([] if os.chdir in os.supports_fd else ["supports_fd"])


# What they say while their own streams are away


@handler("speak_without_streams")
def speak_without_streams(job: Job, payload: dict) -> None:
    LEFT[payload["what"]]()
    job.log("said all the same")


# Processes that a handler forks


def _square(number: int) -> int:
    return number * number


@handler("pool")
def pool(job: Job, payload: dict) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as workers:
        return workers.map(_square, range(5))


@handler("terminated")
def terminated(job: Job, payload: dict) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(10)
    return process.exitcode


@handler("own_signal_handler")
def own_signal_handler(job: Job, payload: dict) -> int:
    """Forks with a signal handler of its own, which the copy keeps."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    pid = os.fork()
    if not pid:
        time.sleep(60)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@handler("fork_and_return")
def fork_and_return(job: Job, payload: dict) -> int:
    """Returns, or raises, in both processes; the copy notes its id in the file `ledger`."""
    pid = os.fork()
    if not pid:
        with open(payload["ledger"], "a") as ledger:
            ledger.write(f"{os.getpid()}\n")
        if payload["way"] == "raise":
            raise ValueError("in the copy")
        if payload["way"] == "exit":
            sys.exit(3)
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

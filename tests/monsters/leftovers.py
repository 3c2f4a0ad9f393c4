"""Handlers that leave something behind in their child, and one that looks for it: see `LEFT`."""

# ruff: noqa: T201 - they print, and close nothing

import asyncio
import decimal
import faulthandler
import gc
import io
import json
import locale
import logging
import logging.config
import multiprocessing
import os
import pickle
import random
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from gopher import Job, handler

_STATE = random.Random(7).getstate()
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
def closed_descriptors_after_half_a_line() -> None:
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
def a_variable_below_the_environment() -> None:
    os.putenv("LEFT", "behind")
    os.unsetenv("HOME")


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


# Python's own settings

_CUSTOMER: ContextVar[str] = ContextVar("customer", default="nobody")
_LOGGER = logging.getLogger("tests.leftovers")


@leaves
def a_context_variable() -> None:
    _CUSTOMER.set("ann")


@leaves
def a_decimal_context() -> None:
    decimal.getcontext().prec = 3
    decimal.getcontext().traps[decimal.Inexact] = True


@leaves
def what_decimal_contexts_are_made_from() -> None:
    decimal.DefaultContext.prec = 4
    time.sleep(0.001)


@leaves
def seeded_random_numbers() -> None:
    random.seed(0)


@leaves
def the_state_of_random_numbers() -> None:
    random.setstate(_STATE)


@leaves
def seeded_random_numbers_of_numpy() -> None:
    import numpy as np

    np.random.seed(0)


@leaves
def a_time_zone_whose_variable_is_gone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    del os.environ["TZ"]


@leaves
def logging_configured_by_a_dictionary() -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR"}})


@leaves
def logging_configured_anew() -> None:
    logging.basicConfig(force=True, level=logging.CRITICAL, handlers=[logging.NullHandler()])


@leaves
def logging_disabled() -> None:
    logging.disable(logging.CRITICAL)


@leaves
def no_logging_handlers() -> None:
    logging.root.handlers.clear()


@leaves
def logging_handlers_that_let_nothing_through() -> None:
    for each in logging.root.handlers:
        each.setLevel(logging.CRITICAL)
        each.addFilter(lambda record: False)


@leaves
def loggers_that_say_nothing() -> None:
    _LOGGER.setLevel(logging.CRITICAL)
    _LOGGER.propagate = False
    logging.getLogger("found").disabled = True


@leaves
def a_factory_of_log_records() -> None:
    logging.setLogRecordFactory(lambda *args, **options: logging.LogRecord("x", 50, "x", 1, "left", (), None))


@leaves
def warnings_that_are_errors() -> None:
    warnings.simplefilter("error")


@leaves
def warnings_that_are_logged() -> None:
    logging.captureWarnings(True)


@leaves
def no_garbage_collection() -> None:
    gc.disable()
    gc.set_threshold(1, 1, 1)
    gc.set_debug(gc.DEBUG_STATS)


@leaves
def a_switch_interval() -> None:
    sys.setswitchinterval(1.0)


@leaves
def hooks_for_exceptions() -> None:
    sys.excepthook = sys.unraisablehook = threading.excepthook = sys.displayhook = _counted


@leaves
def trace_functions_of_threads() -> None:
    threading.settrace(_counted)
    threading.setprofile(_counted)


@leaves
def the_size_of_threads_stacks() -> None:
    threading.stack_size(1 << 20)


@leaves
def limits_of_numbers() -> None:
    sys.set_int_max_str_digits(1000)
    sys.set_coroutine_origin_tracking_depth(7)


@leaves
def a_path_of_modules() -> None:
    sys.path.insert(0, "/left")


@leaves
def another_list_as_the_path_of_modules() -> None:
    sys.path = ["/left"]


@leaves
def arguments_of_the_program() -> None:
    sys.argv[1:] = ["--left"]


@leaves
def a_callback_of_the_garbage_collection() -> None:
    gc.callbacks.append(_counted)


@leaves
def allocations_that_are_traced() -> None:
    tracemalloc.start()


@leaves
def a_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C.UTF-8")


@leaves
def a_way_to_start_processes() -> None:
    multiprocessing.set_start_method("spawn")


@leaves
def an_event_loop() -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())


@leaves
def a_policy_of_event_loops() -> None:
    asyncio.set_event_loop_policy(_Policy())


@leaves
def a_niceness_and_a_processor() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if os.geteuid() == 0:
        # Another user can't go back, and its child is replaced.
        os.nice(3)


@leaves
def processes_that_have_ended() -> None:
    subprocess.Popen(["true"]).returncode = 0
    while not _ended_child():
        time.sleep(0.001)


def _ended_child() -> object:
    return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


class _Policy(asyncio.DefaultEventLoopPolicy):
    pass


@handler("leave_async")
async def leave_async(job: Job, payload: dict) -> int:
    """The same, in a coroutine, with a task and a thread of its event loop."""
    asyncio.get_running_loop().create_task(asyncio.sleep(3600), name="left")
    await asyncio.to_thread(os.getpid)
    LEFT[payload["what"]]()
    return os.getpid()


@handler("found_async")
async def found_async(job: Job, payload: dict) -> dict:
    """What `found` finds in a coroutine, and which tasks there are beside its own."""
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return {**found(job, payload), "tasks": tasks}


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
    until = time.monotonic() + payload.get("seconds", 0)
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
        "variable of programs": subprocess.check_output("echo $LEFT ${HOME:+home}", shell=True, text=True).strip(),
        "arguments": sys.argv[1:],
        "traces allocations": tracemalloc.is_tracing(),
        "limits": [
            resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
        ],
        "recursion": sys.getrecursionlimit(),
        "traced": sys.gettrace() is not None or sys.getprofile() is not None,
        "zone": time.localtime().tm_gmtoff,
        "customer": _CUSTOMER.get(),
        "decimals": repr(decimal.getcontext()),
        "seeded": _seeded(),
        "loggers": [logging.root.level, _LOGGER.level, _LOGGER.propagate, logging.getLogger("found").disabled],
        "handlers of logs": [(type(each).__name__, each.level, len(each.filters)) for each in logging.root.handlers],
        "warnings": [len(warnings.filters), warnings.showwarning.__module__],
        "garbage": [gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks)],
        "switches": sys.getswitchinterval(),
        "hooks": [each.__module__ for each in (sys.excepthook, sys.unraisablehook, sys.displayhook)],
        "threads": [threading.excepthook.__module__, threading.gettrace(), threading.stack_size()],
        "numbers": [sys.get_int_max_str_digits(), sys.get_coroutine_origin_tracking_depth()],
        "path": sys.path,
        "locale": locale.setlocale(locale.LC_ALL),
        "starts processes by": multiprocessing.get_start_method(allow_none=True),
        "event loop": _event_loop(),
        "niceness": [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0))],
        "processes": _has_processes(),
    }


def _seeded() -> bool:
    """Tell whether the next random numbers are those that follow a seed of 0."""
    drawn = random.random()
    if (numpy := sys.modules.get("numpy")) and numpy.random.random() == 0.5488135039273248:
        return True
    return drawn in (random.Random(0).random(), _first_of(_STATE))


def _first_of(state: tuple) -> float:
    numbers = random.Random()
    numbers.setstate(state)
    return numbers.random()


def _event_loop() -> str:
    policy = type(asyncio.get_event_loop_policy()).__name__
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return f"{policy} {asyncio.get_event_loop_policy()._local._loop}"
    return policy


def _has_processes() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


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


# What can't be put back


def _print_later() -> None:
    time.sleep(0.3)
    print("printed by a thread that was left")
    time.sleep(60)


@handler("leave_for_good")
def leave_for_good(job: Job, payload: dict) -> int:
    """Leaves what its child can't get rid of, and returns its process."""
    {
        "a thread": lambda: threading.Thread(target=_print_later, name="late", daemon=True).start(),
        "a process": lambda: subprocess.Popen(["sleep", "3600"], stdout=_NOTHING),
        "another user": lambda: os.seteuid(65534),
        "another process group": lambda: os.setpgid(0, os.getpgid(os.getppid())),
        "a closed channel": lambda: os.closerange(3, 200),
    }[payload["what"]]()
    return os.getpid()


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


_TELL = """
import ctypes, json, os
signal = ctypes.c_int(-1)
ctypes.CDLL(None).prctl(2, ctypes.byref(signal))
# But for the one that lists them.
held = [number for number in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{number}")]
told = {"oom": int(open("/proc/self/oom_score_adj").read()), "death signal": signal.value, "descriptors": sorted(held)}
print(json.dumps(told), file=open(OUT, "w"))
"""


@handler("tell_of_itself")
def tell_of_itself(job: Job, payload: dict) -> dict:
    """Starts a process in one of several ways, and returns what it tells of itself."""
    program = [sys.executable, "-c", _TELL.replace("OUT", repr(f"/tmp/{job.id}"))]
    if payload["way"] == "fork":
        process = multiprocessing.get_context("fork").Process(target=exec, args=(program[2], {}))
        process.start()
        process.join()
    elif payload["way"] == "subprocess":
        subprocess.run(program, check=True)
    elif payload["way"] == "posix_spawn":
        os.waitpid(os.posix_spawn(program[0], program, os.environ), 0)
    else:
        os.system(shlex.join(program))
    with open(f"/tmp/{job.id}") as file:
        return json.load(file)


@handler("own_signal_handler")
def own_signal_handler(job: Job, payload: dict) -> int:
    """Forks with a signal handler of its own, which the copy keeps."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    pid = os.fork()
    if not pid:
        # A signal just before a single long sleep would be noticed only after it.
        for _ in range(600):
            time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@handler("note_number")
def note_number(job: Job, payload: dict) -> None:
    """An honest job: notes its number in the file `ledger`."""
    with open(payload["ledger"], "a") as ledger:
        ledger.write(f"{payload['n']}\n")


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

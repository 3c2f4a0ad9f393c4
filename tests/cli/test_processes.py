"""Children that are started, watched and stopped together: `Processes`, with real children."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from gopher.cli.processes import TAIL, Processes, interruptions

from tests.helpers import wait_until

Python = Callable[[str], list[str]]


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def processes(lines: list[tuple[str, str]]) -> Iterator[Processes]:
    made = Processes(lambda name, line: lines.append((name, line)), os.environ)
    yield made
    made.close()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def pump_until(processes: Processes, condition: Callable[[], object]) -> None:
    def pumped() -> object:
        processes.pump(0.02)
        return condition()

    wait_until(pumped)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_hands_over_the_lines_of_each_child(processes: Processes, lines: list[tuple[str, str]]) -> None:
    processes.start("one", python("import sys; print('out'); print('err', file=sys.stderr); print('end', end='')"))
    pump_until(processes, lambda: len(lines) == 3)
    assert lines == [("one", "out"), ("one", "err"), ("one", "end")]


def test_keeps_the_last_lines_to_show_when_it_fails(processes: Processes) -> None:
    process = processes.start("one", python("for i in range(100): print(i)"))
    pump_until(processes, lambda: list(process.tail)[-1:] == ["99"])
    assert len(process.tail) == TAIL


def test_tells_once_who_has_ended_and_how(processes: Processes) -> None:
    process = processes.start("one", python("raise SystemExit(3)"))
    # Ended between two pumps, as while the caller waits for something else.
    process.popen.wait()
    assert [each.ending for each in processes.pump(5)] == ["ended with exit code 3"]
    assert processes.pump(0) == []


def test_names_the_signal_that_killed_a_child(processes: Processes) -> None:
    processes.start("one", python("import os; os.kill(os.getpid(), 9)"))
    assert [each.ending for each in processes.pump(60)] == ["was killed by SIGKILL"]


def test_stops_with_a_signal_that_lets_a_child_finish(processes: Processes, lines: list[tuple[str, str]]) -> None:
    code = (
        "import signal, sys, time\nsignal.signal(15, lambda *a: (print('finished'), sys.exit(0)))\n"
        # A signal that comes just before a pause would not end it.
        "print('up')\nwhile True: time.sleep(0.01)"
    )
    process = processes.start("one", python(code))
    pump_until(processes, lambda: lines)
    processes.stop(["one"], 60)
    assert process.popen.returncode == 0
    assert ("one", "finished") in lines


def test_kills_what_does_not_stop_in_time_and_what_that_has_started(
    processes: Processes, lines: list[tuple[str, str]]
) -> None:
    code = (
        "import signal, subprocess, sys; signal.signal(15, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid); signal.pause()"
    )
    process = processes.start("one", python(code))
    pump_until(processes, lambda: lines)
    processes.stop(["one"], 0.2)
    assert process.popen.returncode == -signal.SIGKILL
    grandchild = int(lines[0][1])
    wait_until(lambda: gone(grandchild))


def test_a_signal_wakes_the_waiting_process(processes: Processes) -> None:
    with interruptions() as noted:
        processes.watch(noted.descriptor)
        processes.start("sender", python(f"import os; os.kill({os.getpid()}, 15)"))
        start = time.monotonic()
        while not noted.count:
            processes.pump(60)
        assert time.monotonic() - start < 30
        assert noted.count == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_end_when_we_are_killed() -> None:
    code = (
        "import os, sys, time\nfrom gopher.cli.processes import Processes\n"
        "made = Processes(lambda *a: None, os.environ)\n"
        "print(made.start('one', [sys.executable, '-c', 'import signal; signal.pause()']).popen.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    wait_until(lambda: gone(child))

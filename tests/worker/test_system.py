"""What the operating system is asked for."""

import os
import signal

import pytest
from gopher.worker.children import system


def status_of(*, code=None, number=None):
    """Return the wait status of a real process that ends so."""
    pid = os.fork()
    if pid == 0:
        if number is not None:
            signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
            os.kill(os.getpid(), number)
        os._exit(code or 0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("ending", "word"),
    [
        ({"code": 0}, "exit 0"),
        ({"code": 3}, "exit 3"),
        ({"number": signal.SIGKILL}, "SIGKILL"),
        ({"number": signal.SIGTERM}, "SIGTERM"),
        ({"number": signal.SIGRTMIN + 2}, f"signal {signal.SIGRTMIN + 2}"),
    ],
)
def test_describes_how_a_process_ended(ending, word):
    assert system.describe_exit(status_of(**ending)) == word


def test_a_dead_process_has_no_memory():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert system.resident_bytes(pid) == 0


def test_knows_its_own_memory():
    assert system.resident_bytes(os.getpid()) > 2**20


def test_killing_a_process_that_is_gone_does_nothing():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    system.kill_group(pid)


@pytest.mark.parametrize("pid", [1, 0, -1])
def test_what_can_not_be_a_child_gets_no_signal(pid, monkeypatch):
    # To a group of these ids the system would send it to all processes of the machine.
    sent = []
    monkeypatch.setattr(os, "killpg", lambda *call: sent.append(call))
    monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
    with pytest.raises(ValueError, match="not the id of a child"):
        system.kill_group(pid)
    assert sent == []

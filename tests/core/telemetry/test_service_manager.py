"""What a process tells systemd, as systemd would receive it."""

import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from gopher.telemetry import service_manager
from gopher.telemetry.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path) -> Iterator[tuple[str, socket.socket]]:
    """The address that systemd gives, and the socket on which it listens."""
    name = f"{tmp_path}/notify" if request.param == "path" else f"@gopher-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.setblocking(False)
        yield name, listening


def received(listening: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listening.recv(1000).decode())
        except BlockingIOError:
            return found


def test_a_process_tells_that_it_is_ready_once_and_that_it_runs_again_and_again(systemd):
    address, listening = systemd
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    service = ServiceManager(environ)
    assert environ == {"HOME": "/"}
    start = service.beat_at
    service.tell(start, is_ready=False)
    assert received(listening) == ["WATCHDOG=1"]
    assert service.due_at < start
    service.tell(start + 9, is_ready=True)
    assert received(listening) == ["READY=1"]
    # Three times in the 30 s of its watchdog.
    assert service.due_at == service.beat_at == start + 10
    service.tell(start + 10, is_ready=False)
    service.stopping()
    service.stopping()
    assert received(listening) == ["WATCHDOG=1", "STOPPING=1"]


def test_without_a_watchdog_there_is_nothing_to_tell_between_start_and_end(systemd):
    address, listening = systemd
    for environ in ({}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}):
        service = ServiceManager({"NOTIFY_SOCKET": address, **environ})
        service.tell(service.due_at, is_ready=True)
        assert service.due_at == float("inf")
    assert received(listening) == ["READY=1"] * 3


def test_nothing_is_told_where_nobody_listens(tmp_path):
    for environ in ({}, {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "3000000"}, {"WATCHDOG_USEC": "3000000"}):
        service = ServiceManager(dict(environ))
        assert service.due_at == service.beat_at == float("inf")
        service.stopping()


def test_a_message_that_was_not_received_is_told_again_each_second_with_one_warning(tmp_path, monkeypatch):
    address = f"{tmp_path}/late"
    warnings = []
    monkeypatch.setattr(service_manager, "log", SimpleNamespace(warning=lambda text, **_: warnings.append(text)))
    service = ServiceManager({"NOTIFY_SOCKET": address})
    for now in (0.5, 0.6, 0.7, 1.0):
        service.tell(now, is_ready=True)
        assert service.due_at == 1.5
    service.tell(1.5, is_ready=True)
    assert service.due_at == 2.5
    assert warnings == ["the service manager was not told"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.setblocking(False)
        service.tell(2.5, is_ready=True)
        assert received(listening) == ["READY=1"]

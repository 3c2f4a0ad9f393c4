"""Starts, watches and stops child processes, for `gopherctl up` and the demo.

One thread, one loop: the caller calls `pump()` repeatedly, which passes on the children's output and reports those
that have ended. Signals only increment a counter, which the caller checks between two pumps.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from gopher.base.parent_death import die_with_parent

#: How many lines of each process are kept, to be shown if it fails.
TAIL = 30
#: Maximum time (s) until `pump` notices that a process has ended whose output another process keeps open.
_REAP_EVERY = 0.2

OnLine = Callable[[str, str], None]


def gopherctl(*arguments: str) -> list[str]:
    """Return the command that runs `gopherctl` with this Python.

    -P, so that folders in the current one don't shadow packages.
    """
    return [sys.executable, "-P", "-m", "gopher.cli", *arguments]


@dataclass
class Process:
    """A running or ended child."""

    name: str
    popen: "subprocess.Popen[bytes]"
    #: Start time (time.monotonic()).
    started: float
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    #: Whether `pump` has reported its end.
    told: bool = False
    _rest: bytes = b""

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def ending(self) -> str:
        """Describe how it ended."""
        code = self.popen.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that `data` completes; b"" marks the end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            lines, self._rest = [self._rest], b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            self.tail.append(text)
            yield text


class Processes:
    """Children by name. Each has its own session, so that a Ctrl-C in the terminal reaches only us.

    On Linux a child gets SIGTERM when this process dies. Start children from the main thread, with no other thread
    running.
    """

    def __init__(self, on_line: OnLine, environ: Mapping[str, str]) -> None:
        self.all: dict[str, Process] = {}
        self._on_line = on_line
        self._environ = {**environ, "PYTHONUNBUFFERED": "1"}
        self._selector = selectors.DefaultSelector()

    def start(self, name: str, command: Sequence[str]) -> Process:
        """Start a child under a name, replacing an ended one."""
        popen = subprocess.Popen(
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - no threads here
        )
        process = self.all[name] = Process(name, popen, time.monotonic())
        assert popen.stdout is not None
        os.set_blocking(popen.stdout.fileno(), False)
        self._selector.register(popen.stdout, selectors.EVENT_READ, process)
        return process

    def running(self, names: Iterable[str] | None = None) -> list[Process]:
        """Return the running children; only those with the given names, if any."""
        wanted = self.all.keys() if names is None else names
        return [self.all[name] for name in wanted if name in self.all and self.all[name].running]

    def pump(self, timeout: float) -> list[Process]:
        """Pass on the children's output for up to `timeout` seconds; return immediately when one has ended."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            woken = self._read(min(left, _REAP_EVERY))
            ended = self._newly_ended()
            if ended or woken or left == 0:
                return ended

    def _newly_ended(self) -> list[Process]:
        ended = [process for process in self.all.values() if not process.told and not process.running]
        for process in ended:
            process.told = True
        if ended:
            self._read(0)
        return ended

    def stop(self, names: Iterable[str], timeout: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Send SIGTERM to children and wait for their end; SIGKILL after `timeout` seconds, or on `hurry`."""
        stopping = list(names)
        deadline = time.monotonic() + timeout
        for process in self.running(stopping):
            process.popen.terminate()
        while self.running(stopping):
            if hurry() or time.monotonic() > deadline:
                self.kill(stopping)
                return
            self.pump(_REAP_EVERY)
        self._read(0)

    def kill(self, names: Iterable[str] | None = None) -> None:
        """Send SIGKILL to these children, or all, and to their descendants."""
        for process in self.running(names):
            try:
                os.killpg(process.popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.popen.wait()
        self._read(0)

    def close(self) -> None:
        """Kill running children and release all resources."""
        self.kill()
        for key in list(self._selector.get_map().values()):
            self._let_go(key.fileobj)
        self._selector.close()

    def watch(self, fileobj: int) -> None:
        """Make `pump` return when a descriptor is readable: that of `Interruptions`."""
        self._selector.register(fileobj, selectors.EVENT_READ, None)

    def _read(self, timeout: float) -> bool:
        """Read available output; return whether the watched descriptor was readable."""
        woken = False
        for key, _ in self._selector.select(timeout):
            data = _read_some(key.fd)
            if key.data is None:
                woken = True
                continue
            for line in key.data.feed(data or b""):
                self._on_line(key.data.name, line)
            if data == b"":
                self._let_go(key.fileobj)
        return woken

    def _let_go(self, fileobj: object) -> None:
        self._selector.unregister(fileobj)  # type: ignore[arg-type]
        if not isinstance(fileobj, int):
            fileobj.close()  # type: ignore[attr-defined]


def _read_some(descriptor: int) -> bytes | None:
    """Return up to 64 KiB, b"" at the end, None if there is nothing to read yet."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


class Interruptions:
    """Counts SIGINT, SIGTERM and SIGHUP, and makes `descriptor` readable."""

    def __init__(self) -> None:
        self.count = 0
        self.descriptor, self.write_descriptor = os.pipe()
        for descriptor in (self.descriptor, self.write_descriptor):
            os.set_blocking(descriptor, False)

    def note(self, number: int, frame: object) -> None:
        self.count += 1


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Count interruptions instead of being terminated by them."""
    noted = Interruptions()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, noted.note) for number in numbers}
    wakeup = signal.set_wakeup_fd(noted.write_descriptor)
    try:
        yield noted
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(noted.descriptor)
        os.close(noted.write_descriptor)

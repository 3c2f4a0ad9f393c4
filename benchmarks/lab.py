"""The environment of a measurement: a fresh server, a folder for counts, and a contender's processes."""

import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from gopher.server.embedded import EmbeddedServer

from .contenders import CACHE, Contender
from .server import program

#: No rewrite of the append-only file during measurements: it takes a core for a second.
OPTIONS = {"auto-aof-rewrite-percentage": "0"}
#: Timeout for a worker's first job, in seconds.
START_TIMEOUT = 120.0
#: Timeout for a sender's call, in seconds.
SEND_TIMEOUT = 300.0


#: Sends a number of jobs, `one` by one or `many` in bulk; returns the seconds that it took.
Send = Callable[[str, int, str], float]


class Stuck(Exception):
    """Raised when a contender makes no progress; the message has the details."""


def counted(folder: Path) -> int:
    """Return the number of jobs counted by all processes."""
    files = (path.read_bytes() for path in folder.glob("count-*"))
    return sum(struct.unpack("<q", data)[0] for data in files if len(data) == 8)


def free_port() -> int:
    """Return a port that is free now, and that no outgoing connection gets before a server listens there."""
    # Others may have fixed the seed of the other generator.
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(5_000, 12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Lab:
    """A fresh server over TCP, and a contender's operations on it."""

    def __init__(self, contender: Contender, server: EmbeddedServer, folder: Path) -> None:
        self.contender = contender
        self.server = server
        self.redis = Redis(port=server.port)
        self.url = f"redis://127.0.0.1:{server.port}"
        #: How many jobs its senders have sent so far.
        self.sent = 0
        self._folder = folder
        #: The contender's output, shown if it fails.
        self._log = folder / "log"

    def send(self, job: str, count: int, how: str = "one") -> float:
        """Send jobs; return the seconds that it took the sender."""
        with self.sender() as send:
            return send(job, count, how)

    @contextmanager
    def sender(self) -> Iterator[Send]:
        """Run the contender's sender; yields a function that makes it send jobs."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self.contender.command("send"),
                env=self._environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Unbuffered: data that a dead sender did not read would be another error at the end.
                bufsize=0,
            )
        assert process.stdin
        assert process.stdout
        asked, told = process.stdin, process.stdout

        def send(job: str, count: int, how: str) -> float:
            try:
                asked.write(f"{job} {count} {how}\n".encode())
                line = told.readline() if select.select([told], [], [], SEND_TIMEOUT)[0] else b""
            except BrokenPipeError:
                line = b""
            if not line:
                raise Stuck(f"{self.contender.name} could not send {count} jobs. {self._said()}")
            self.sent += count
            return float(line)

        try:
            yield send
        finally:
            process.kill()
            process.wait()
            asked.close()
            told.close()

    def trickle(self, count: int, pause: float) -> None:
        self._run("trickle", str(count), str(pause))

    @contextmanager
    def worker(self, **environ: str) -> Iterator[psutil.Process]:
        """Run the contender's worker in its own session; it is killed at the end with all its descendants."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self.contender.command("worker"),
                env=self._environ() | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        root = psutil.Process(process.pid)
        try:
            yield root
        finally:
            _kill(root)
            process.wait()

    def done(self) -> int:
        """Return how many jobs have been done so far."""
        return counted(self._folder)

    def wait_for(self, count: int, timeout: float = START_TIMEOUT, pause: float = 0.002) -> float:
        """Wait until `count` jobs are done; return the moment (perf_counter). Raises Stuck.

        `pause` (s) is the polling interval. Each read costs tens of microseconds of CPU time.
        """
        deadline = time.monotonic() + timeout
        while self.done() < count:
            if time.monotonic() > deadline:
                raise Stuck(f"{self.contender.name} did {self.done()} of {count} jobs in {timeout:g} s. {self._said()}")
            time.sleep(pause)
        return time.perf_counter()

    def stamps(self) -> list[float]:
        """Return how late each stamped job started, in milliseconds."""
        path = self._folder / "stamps"
        return [int(line) / 1e6 for line in path.read_text().splitlines()] if path.exists() else []

    def used_memory(self) -> int:
        return int(self.redis.info("memory")["used_memory"])

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-400:] if self._log.exists() else ""

    def _run(self, *words: str) -> str:
        command = self.contender.command(*words)
        done = subprocess.run(command, env=self._environ(), capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise Stuck(f"{self.contender.name} could not {' '.join(words)}: {done.stderr[-400:]}")
        return done.stdout

    def _environ(self) -> dict[str, str]:
        ours = {
            "BENCH_PORT": str(self.server.port),
            "BENCH_FOLDER": str(self._folder),
            "BENCH_VARIANT": self.contender.variant,
            "BENCH_NODE_MODULES": str(CACHE / "bullmq"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "GOPHER_H"))}
        return inherited | ours | self.contender.environ


def halt(root: psutil.Process) -> None:
    """Suspend a worker and its descendants, until it is resumed."""
    _signal(root, signal.SIGSTOP)
    # A child that was being forked meanwhile is found now.
    _signal(root, signal.SIGSTOP)


def let_go_on(root: psutil.Process) -> None:
    _signal(root, signal.SIGCONT)


def _signal(process: psutil.Process, number: int) -> None:
    """Send a signal to a process, then to its descendants, so that a suspended one starts no more."""
    try:
        process.send_signal(number)
        children = process.children()
    except psutil.NoSuchProcess:
        return
    for child in children:
        _signal(child, number)


def _kill(root: psutil.Process) -> None:
    """Stop a worker: with SIGTERM, then with SIGKILL, including its descendants."""
    family = [root, *_descendants(root)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in family:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                pass
        _, family = psutil.wait_procs(family, timeout=1.5)


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


@contextmanager
def lab(contender: Contender) -> Iterator[Lab]:
    """Give a contender a fresh server."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-bench-"))
    try:
        with EmbeddedServer(folder / "server", program=program(), port=free_port(), options=OPTIONS) as server:
            marks = folder / "marks"
            marks.mkdir()
            made = Lab(contender, server, marks)
            yield made
            made.redis.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def family_memory(root: psutil.Process) -> float:
    """Return the memory (PSS, MB) of a worker and its descendants."""
    return _sum(root, lambda process: process.memory_full_info().pss) / 1e6


def family_seconds(root: psutil.Process) -> float:
    """Return the CPU seconds of a worker and its descendants."""
    return _sum(root, lambda process: sum(process.cpu_times()[:2]))


def _sum(root: psutil.Process, figure: Callable[[psutil.Process], float]) -> float:
    """Add up a figure of a worker and of its descendants, but for those that have just ended."""
    total = figure(root)
    for process in _descendants(root):
        with suppress(psutil.NoSuchProcess):
            total += figure(process)
    return total


def figures(**values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


@contextmanager
def parts(environ: Mapping[str, str], *names: str) -> Iterator[None]:
    """Run parts of Gopher from this checkout, such as a worker, with variables beyond our own; stop them at the end."""
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "LOG_LEVEL": "error", **environ}
    processes = [subprocess.Popen([sys.executable, "-P", "-m", f"gopher.{name}"], env=variables) for name in names]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()

"""The worker's exporter: a separate process that exports the spans of all children if tracing is on.

The supervisor can't do it, since the SDK's exporter is a thread, and the supervisor forks. The children could, but
unexported spans would be lost with them. So a child sends each span when it ends, through a socket whose buffer
outlives it; the supervisor adds the spans of attempts whose child was killed; and a slow or unavailable collector does
not delay jobs.
"""

import contextlib
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
from gopher.worker.children import system
from gopher.worker.children.fork import fork
from gopher.worker.messages import Assignment
from gopher.worker.queue_side.decisions import Decision
from setproctitle import setproctitle

from gopher.jobs.job import read_envelope
from gopher.telemetry import tracing
from gopher.telemetry.logs import get_logger

from . import spans
from .attempts import Attempts, attempt_of, make_ids
from .sender import LARGEST, Sender
from .spans import Killed

log = get_logger("worker")

#: Size of the socket's buffer, as far as the system permits: some hundred frames.
_BUFFER = 2**20
#: Seconds between two checks of the exporter, and between two starts.
_LOOK = 1.0
#: Maximum number of spans of killed attempts that the supervisor keeps while the socket is full.
_KEPT = 1000


def killed(given: Assignment, decision: Decision, seconds: float) -> Killed:
    """Return the span of an attempt that has just ended after the given seconds, and could not end it itself."""
    error = msgspec.json.decode(decision.error) if decision.error else {}
    envelope = read_envelope(given.job.envelope)
    now = time.time_ns()
    return Killed(
        attempt_of(given, envelope),
        now - round(seconds * 1e9),
        now,
        decision.outcome,
        decision.error_type,
        error.get("message", ""),
    )


class Exporter:
    """The supervisor's handle of the exporter: starts it, restarts it if it dies, and waits for it at the end."""

    def __init__(self, inherited: Callable[[], Iterable[int]]) -> None:
        self._inherited = inherited
        self._reader, self.writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._sender = Sender(self.writer)
        self._kept: deque[Killed] = deque(maxlen=_KEPT)
        self._pid = 0
        self._look_at = 0.0

    def maintain(self, now: float) -> None:
        """Start the exporter, or restart it if it has died; send queued spans."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        if not self._lives():
            if self._pid:
                log.error("the span exporter died; restarting it", pid=self._pid)
            self._start()
        while self._kept and self._sender.send(self._kept[0]):
            self._kept.popleft()

    def tell(self, killed: Killed) -> None:
        """Create the span of an attempt whose child is dead."""
        self.writer.setblocking(False)
        if not self._sender.send(killed):
            self._kept.append(killed)

    def stop(self) -> None:
        """Wait a few seconds for all spans to be exported. All children must have exited."""
        self._look_at = 0.0
        self.maintain(time.monotonic())
        self.writer.close()
        self._reader.close()
        until = time.monotonic() + tracing.LAST_SPANS
        while self._lives():
            if time.monotonic() > until:
                log.warning("timeout while exporting the last spans")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors that a child must not inherit."""
        return (self._reader.fileno(),)

    def _lives(self) -> bool:
        if not self._pid:
            return False
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] == 0
        except ChildProcessError:
            # The pool has reaped it with its children.
            return False

    def _start(self) -> None:
        parent = os.getpid()
        try:
            self._pid = fork(lambda: _run(self._reader, [*self._inherited(), self.writer.fileno()], parent))
        except OSError as error:
            log.error("can't fork the span exporter", error=str(error))


def _run(reader: socket.socket, inherited: Iterable[int], parent: int) -> None:
    """Run the exporter until all writers have closed the socket."""
    signal.set_wakeup_fd(-1)
    # Some platforms send signals to all processes; the exporter ends after the supervisor and its children.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for descriptor in inherited:
        os.close(descriptor)
    system.prefer_as_oom_victim()
    setproctitle(f"gopher: exporter of {parent}")
    _export_all(reader, parent)


def _export_all(reader: socket.socket, parent: int) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    resource, processor, ids = tracing.resource("gopher-worker"), tracing.exporting(), make_ids()
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    attempts = Attempts(provider, ids)
    reader.settimeout(_LOOK)
    while (data := _next(reader, parent)) is not None:
        try:
            frame = spans.decode(data)
        except msgspec.MsgspecError:
            # A handler has written to the socket.
            continue
        if isinstance(frame, Killed):
            attempts.end(frame)
        else:
            processor.on_end(spans.to_span(frame, resource))
    provider.force_flush()
    provider.shutdown()


def _next(reader: socket.socket, parent: int) -> bytes | None:
    """Return the next frame; None if all writers have closed the socket."""
    while True:
        try:
            return reader.recv(2 * LARGEST) or None
        except TimeoutError:
            # A process left behind by a handler may keep the other end open.
            if os.getppid() != parent:
                return None

"""The supervisor: the process of a worker that communicates with the queue. It runs no handler code.

One thread with an event loop for connections, the children's channels and output, signals and deadlines; nothing in it
blocks. So it immediately knows which job a dead child had, enforces timeouts while a child hangs in C code, and sends
heartbeats while every core is busy.
"""

import gc
import selectors
import signal
import time

from gopher.config.settings import Settings
from gopher.hooks.registered import failing as hooks_of_failures
from gopher.jobs.handlers import Registry
from gopher.queue.store import Server
from gopher.server.event_loop import EventLoop
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import bind, get_logger
from gopher.telemetry.tracing import is_on as tracing_is_on

from .child_io import ChildIO
from .children.handle import ChildHandle
from .children.pool import Pool
from .crew import Crew
from .dispatcher import Dispatcher
from .duties import Duties
from .events import Events
from .job_logs import job_fields
from .lease import Lease
from .outcomes import Outcomes
from .prefetch import MANY, may_send
from .presence import Presence
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .shutdown import Shutdown
from .signals import Signals
from .tracing.exporter import Exporter
from .worker_info import WorkerInfo

log = get_logger("worker")


class Supervisor:
    """A worker. `run` returns its exit code: 0 if every job was settled or requeued."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._clock = ServerClock()
        self._health = HealthFile(settings.health_file, settings.worker_lease / 6, settings.worker_lease)
        self._server = Server(settings, connections=2)
        self._event_loop = EventLoop(self._server, self._selector)
        self._queues: dict[str, ServedQueue] = {}
        #: None if tracing is off.
        self._exporter = (
            Exporter(lambda: [*self._descriptors(), *self._pool.descriptors()]) if tracing_is_on() else None
        )
        self._pool = Pool(settings, registry, self._own_descriptors, self._exporter.writer if self._exporter else None)
        self._crew = Crew(self._pool)
        self._info = WorkerInfo(list(settings.worker_queues), registry, self._clock)
        presence = Presence(self._server, self._event_loop, self._clock, self._info, self._pool, self._queues)
        self._lease = Lease(self._server, self._queues, self._crew, presence, self._clock, self._health)
        self._duties = Duties(self._lease)
        #: None without middleware that hears of failures.
        self._events = (
            Events(lambda: [*self._own_descriptors(), *self._pool.descriptors()]) if hooks_of_failures else None
        )
        self._outcomes = Outcomes(settings, self._queues, self._crew, self._info, self._exporter, self._events)
        self._dispatcher = Dispatcher(
            settings, registry, self._queues, self._crew, self._lease, self._outcomes, self._clock
        )
        self._shutdown = Shutdown(self._crew, self._queues, self._event_loop, settings.worker_shutdown_timeout)
        self._child_io = ChildIO(self._selector, self._pool, self._outcomes)
        self._pool.opened, self._pool.closed = self._watch, self._child_io.unwatch
        if self._events is not None:
            self._pool.reaped = self._events.reaped

    # The loop

    def run(self) -> int:
        """Work until stopped."""
        self._start()
        while not self._shutdown.done():
            now = time.monotonic()
            self._keep_time(now)
            self._exchange(now)
            if rest := self._crew.prefetch.rest():
                # A reply of the server ends the pause, since the server is idle until the next calls.
                self._event_loop.wait_for_answer(rest)
            for key, mask in self._selector.select(self._pause()):
                # Skip what an earlier event of this round has closed.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
        return self._leave()

    def _start(self) -> None:
        bind(worker=self._lease.worker_id)
        self._health.begin()
        self._signals.install()
        self._selector.register(self._signals.fileno(), selectors.EVENT_READ, lambda mask: self._handle_signals())
        # Children share the memory of imported modules; garbage collection would copy it.
        gc.collect()
        gc.freeze()
        if self._exporter is not None:
            self._exporter.maintain(time.monotonic())
        # Before connecting: children must not inherit a connection.
        self._pool.maintain(time.monotonic())
        self._serve()
        log.info(
            "worker started",
            queues=",".join(self._settings.worker_queues),
            children=self._pool.wanted,
            types=",".join(handler.name for handler in self._registry),
            signals="TERM/INT: finish jobs and exit, INT twice: exit now, TSTP: stop fetching, "
            "TTIN/TTOU: one child more/less, USR1: log running jobs",
        )

    def _serve(self) -> None:
        now = time.monotonic()
        for name in self._settings.worker_queues:
            self._queues[name] = ServedQueue.open(
                self._server.queue(name),
                self._event_loop,
                self._clock,
                self._settings,
                self._registry,
                now,
                with_prelude=self._exporter is not None,
            )
            if self._events is not None:
                self._queues[name].settler.refused = self._events.tell
        self._lease.begin()
        self._duties.begin(list(self._queues.values()), now)

    def _keep_time(self, now: float) -> None:
        """Run due tasks."""
        self._pool.enforce(now)
        self._pool.maintain(now)
        if self._exporter is not None:
            self._exporter.maintain(now)
        if self._events is not None:
            self._events.maintain(now)
        self._shutdown.enforce(now)
        self._crew.take_from_stragglers(now)
        self._lease.stop_exclusive(now)
        if now >= self._lease.beat_at and not self._shutdown.gave_up:
            self._lease.beat(now)
        if now >= self._duties.due_at and not self._crew.quiet:
            self._duties.run(now)
        self._event_loop.check(now)

    def _exchange(self, now: float) -> None:
        """Assign jobs, send outcomes, fetch more."""
        # Jobs are assigned while the server processes what is sent here.
        much = len(self._crew.backlog) >= MANY
        if not much:
            self._hand_out(now)
        self._lease.hurry(now)
        spare = max(self._pool.wake_at() - now, 0.0)
        for served in self._queues.values():
            if may_send(served.fetcher.pipeline, served.settler.gathered):
                served.settler.send()
        self._dispatcher.take_in(now, spare)
        self._event_loop.flush(now, spare)
        if much:
            self._hand_out(now)

    def _hand_out(self, now: float) -> None:
        self._dispatcher.hand_out(now)
        self._child_io.watch_for_room()

    def _pause(self) -> float:
        """Return the seconds until the next task is due."""
        now = time.monotonic()
        wake_at = min(
            self._pool.wake_at(),
            self._lease.beat_at,
            float("inf") if self._crew.quiet else self._duties.due_at,
            self._shutdown.wake_at(now),
            self._dispatcher.wake_at(),
            *(pipeline.wake_at() for pipeline in self._event_loop.pipelines),
        )
        # At least once a second, for work without a deadline.
        return max(min(wake_at - now, 1.0), 0.0)

    def _leave(self) -> int:
        self._crew.leave()
        self._health.remove()
        settled = not self._shutdown.gave_up
        if settled:
            self._lease.resign()
        if self._events is not None:
            self._events.stop()
        if self._exporter is not None:
            self._exporter.stop()
        self._server.close()
        unheard = sum(len(served.settler.held()) for served in self._queues.values())
        if unheard:
            log.error("outcomes did not reach the server; their jobs will run again after the lease", jobs=unheard)
        log.info("worker stopped", jobs_done=self._info.jobs_done, settled=settled)
        return 0 if settled else 1

    # Signals

    def _handle_signals(self) -> None:
        for number in self._signals.received():
            name = signal.Signals(number).name.removeprefix("SIG").lower()
            getattr(self, f"_handle_{name}")()

    def _handle_chld(self) -> None:
        now = time.monotonic()
        for child, status in self._pool.reap(now):
            self._child_io.read_last(child)
            self._outcomes.bury(child, status, now)

    def _handle_term(self) -> None:
        self._shutdown.stop()

    def _handle_int(self) -> None:
        self._shutdown.stop_or_hurry()

    def _handle_tstp(self) -> None:
        log.info("quiet: no more jobs are fetched")
        self._shutdown.be_quiet()

    def _handle_ttin(self) -> None:
        self._pool.wanted += 1

    def _handle_ttou(self) -> None:
        self._pool.wanted = max(self._pool.wanted - 1, 1)

    def _handle_usr1(self) -> None:
        for child in self._pool.children.values():
            head = child.head
            log.info("child", pid=child.pid, jobs_done=child.jobs_done, **(job_fields(head) if head else {}))

    # Children

    def _watch(self, child: ChildHandle) -> None:
        self._info.outdated = True
        self._child_io.watch(child)

    def _own_descriptors(self) -> list[int]:
        """Return the descriptors that a child must not inherit, except for the other children's pipes."""
        return [*self._descriptors(), *(self._exporter.descriptors() if self._exporter else ())]

    def _descriptors(self) -> list[int]:
        selector = [self._selector.fileno()] if isinstance(self._selector, selectors.EpollSelector) else []
        return [*self._event_loop.descriptors(), *self._signals.descriptors(), *selector]

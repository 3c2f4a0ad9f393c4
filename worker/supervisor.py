"""The supervisor: the process of a worker that communicates with the queue. It runs no handler code.

One thread with an event loop for connections, the children's channels and output, signals and deadlines; nothing in it
blocks. So it immediately knows which job a dead child had, enforces timeouts while a child hangs in C code, and sends
heartbeats while every core is busy.
"""

import gc
import selectors
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gopher.config.settings import Settings
from gopher.hooks.added import failing as hooks_of_failures
from gopher.jobs.registry import INTERNAL, Registry
from gopher.queue.announcing import Announcer
from gopher.queue.commands import QUIET, STACK, STOP
from gopher.queue.moves import Queue
from gopher.queue.relay import Relay
from gopher.queue.store import Server
from gopher.server.calls import Sendable
from gopher.server.event_loop import EventLoop
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import bind, get_logger
from gopher.telemetry.service_manager import ServiceManager
from gopher.telemetry.tracing import is_on as tracing_is_on
from gopher.webhooks.relaying import WebhookRelay

from .burst import Burst
from .child_io import ChildIO
from .children.guard import Guard
from .children.handle import ChildHandle
from .children.pool import Pool
from .commands import Commands
from .crew import Crew
from .dispatcher import Dispatcher
from .duties import Duties
from .events import Events
from .job_logs import job_fields
from .lease import Lease
from .memory.admission import Admission
from .outcomes import Outcomes
from .preemption import Preemption, preempts
from .prefetch import MANY, may_send
from .presence import Presence
from .queue_side.clock import ServerClock
from .queue_side.rhythm import Rhythm
from .queue_side.served_queue import ServedQueue
from .shutdown import Shutdown
from .signals import Signals
from .stack_requests import StackRequests
from .tracing.exporter import Exporter
from .worker_info import WorkerInfo

log = get_logger("worker")


class Supervisor:
    """A worker. `run` returns its exit code: 0 if every job was settled or requeued, and in burst mode none failed."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._selector = selectors.DefaultSelector()
        self._rhythm = Rhythm.of_settings(settings)
        self._signals = Signals()
        self._clock = ServerClock()
        self._health = HealthFile(settings.health_file, settings.worker_lease / 6, settings.worker_lease)
        self._service = ServiceManager()
        self._server = Server(settings, connections=2)
        self._event_loop = EventLoop(self._server, self._selector)
        self._queues: dict[str, ServedQueue] = {}
        self._delivers_webhooks = False
        #: None if tracing is off.
        self._exporter = (
            Exporter(lambda: [*self._descriptors(), *self._pool.descriptors()]) if tracing_is_on() else None
        )
        self._pool = Pool(settings, registry, self._own_descriptors, self._exporter.writer if self._exporter else None)
        self._crew = Crew(self._pool)
        self._info = WorkerInfo(settings, list(settings.worker_queues), registry, self._clock)
        announcer = Announcer(registry, settings.withdraw_after, settings.worker_queues)
        presence = Presence(
            self._server, self._event_loop, self._clock, self._info, self._pool, self._queues, announcer
        )
        self._commands = Commands()
        self._lease = Lease(self._server, self._queues, self._crew, presence, self._clock, self._health, self._commands)
        self._webhooks = WebhookRelay(self._server)
        self._duties = Duties(self._lease, self._relay_of)
        #: None without middleware that hears of failures.
        self._events = (
            Events(lambda: [*self._own_descriptors(), *self._pool.descriptors()]) if hooks_of_failures else None
        )
        #: None if jobs are not admitted by memory.
        self._admission = (
            None
            if settings.worker_memory is None
            else Admission(
                settings.worker_memory, self._crew, self._queues, self._clock, [handler.name for handler in registry]
            )
        )
        if self._admission is not None:
            self._info.admission = self._admission.view
        self._outcomes = Outcomes(
            settings, self._queues, self._crew, self._info, self._exporter, self._events, self._admission
        )
        #: None if nothing is declared as preemptible.
        self._preemption = self._make_preemption() if preempts(settings, registry) else None
        self._outcomes.preemption = self._preemption
        if self._preemption is not None:
            self._preemption.admission = self._admission
        self._dispatcher = Dispatcher(
            settings,
            registry,
            self._queues,
            self._crew,
            self._lease,
            self._outcomes,
            self._clock,
            self._preemption,
            self._admission,
        )
        self._shutdown = Shutdown(
            self._crew, self._queues, self._event_loop, self._info, settings.worker_shutdown_timeout
        )
        self._stacks = StackRequests(self._crew, self._queues, self._clock, self._event_loop)
        self._commands.actions = {
            QUIET: lambda command, queue: self._handle_tstp(),
            STOP: lambda command, queue: self._handle_term(),
            STACK: self._stacks.ask,
        }
        self._burst = Burst(self._queues, self._crew, self._clock, self._shutdown) if settings.worker_burst else None
        self._child_io = ChildIO(self._selector, self._pool, self._outcomes)
        self._pool.opened, self._pool.closed = self._watch, self._child_io.unwatch
        self._pool.reaped = self._reaped

    def _make_preemption(self) -> Preemption:
        guard = Guard(lambda: [*self._own_descriptors(), *self._pool.descriptors()])
        return Preemption(self._settings, self._queues, self._crew, self._lease, self._event_loop, guard)

    # The loop

    def run(self) -> int:
        """Work until stopped."""
        self._start()
        while not self._shutdown.done():
            self._work()
            self._handle_events(self._pause())
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
        if self._preemption is not None:
            self._preemption.begin(time.monotonic())
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
            self._open(name)
        self._lease.begin()
        self._duties.begin(list(self._queues.values()), now)
        if self._admission is not None:
            self._admission.begin(now)

    def _open(self, name: str) -> ServedQueue:
        """Open a queue whose jobs are to be fetched."""
        delivers = name == self._settings.webhooks_queue
        internal = INTERNAL if delivers else ()
        # A worker for deliveries alone has all its children for them.
        is_bounded = delivers and self._settings.worker_queues != (name,)
        served = ServedQueue.open(
            self._server.queue(name),
            self._event_loop,
            self._clock,
            self._settings,
            [*self._registry, *internal],
            with_prelude=self._exporter is not None,
            spare=partial(self._crew.spare_for, name) if is_bounded else None,
        )
        if self._events is not None:
            served.settler.refused = self._events.tell
        self._queues[name] = served
        return served

    def _deliver_webhooks(self, now: float) -> None:
        """Also serve the queue of webhooks, once there are any: last, and with a part of the children only."""
        self._delivers_webhooks = True
        name = self._settings.webhooks_queue
        if name in self._queues or not self._settings.worker_webhooks:
            return
        log.info("this worker also delivers webhooks", queue=name)
        served = self._open(name)
        self._info.serve_also(name)
        self._lease.begin_with(served)
        self._duties.add(served, now)

    def _relay_of(self, queue: Queue) -> Relay:
        def send(call: Sendable, callback: Callable[[Any], None]) -> None:
            self._event_loop.pipeline_to(call.key).add(call, callback)

        return Relay(queue, send, self._server.queue, {"webhook": self._webhooks.steps})

    def _work(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        self._keep_time(now)
        self._exchange(now)
        if rest := self._crew.prefetch.rest():
            # A reply of the server ends the pause, since the server is idle until the next calls.
            self._event_loop.wait_for_answer(rest)

    def _handle_events(self, timeout: float) -> None:
        """Wait for events, and handle those that are there."""
        for key, mask in self._selector.select(timeout):
            # Skip what an earlier event of this round has closed.
            if self._selector.get_map().get(key.fd) is key:
                key.data(mask)

    def _keep_time(self, now: float) -> None:
        """Run due tasks."""
        if now >= self._service.due_at:
            self._service.tell(now, is_ready=all(served.lease.granted for served in self._queues.values()))
        self._pool.enforce(now)
        self._pool.maintain(now)
        if self._admission is not None:
            self._admission.check(now)
        if self._exporter is not None:
            self._exporter.maintain(now)
        if self._events is not None:
            self._events.maintain(now)
        self._shutdown.enforce(now)
        self._stacks.check(now)
        if self._burst is not None:
            self._burst.check(now)
        self._crew.take_from_stragglers(now)
        if self._preemption is not None:
            self._preemption.check(now)
        self._lease.stop_exclusive(now)
        if not self._delivers_webhooks and self._server.installation.webhooks is not None:
            self._deliver_webhooks(now)
        horizon = self._horizon(now)
        if horizon >= self._lease.beat_at and not self._shutdown.gave_up:
            self._lease.beat(now)
            self._outcomes.oom_kills.look()
        if horizon >= self._duties.due_at and not self._crew.quiet:
            self._duties.run(now, horizon)
        self._event_loop.check(now)

    def _horizon(self, now: float) -> float:
        """Return until when what becomes due is sent now: by a quiet worker, all that is due before the next blocking
        pop ends. So its pipeline needs no connection of its own."""
        # In burst mode there is always something to ask.
        self._event_loop.sharing = self._lease.is_quiet and self._burst is None
        if not self._event_loop.sharing:
            return now
        self._event_loop.close_spare()
        return now + self._rhythm.ahead if self._event_loop.is_between_pops else now

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
            self._shutdown.wake_at(),
            self._stacks.wake_at(now),
            self._dispatcher.wake_at(),
            self._event_loop.wake_at(),
            self._burst.wake_at() if self._burst is not None else float("inf"),
            self._service.beat_at,
            self._admission.wake_at() if self._admission is not None else float("inf"),
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
        if self._preemption is not None:
            self._preemption.stop()
        self._server.close()
        unheard = sum(len(served.settler.held()) for served in self._queues.values())
        if unheard:
            log.error("outcomes did not reach the server; their jobs will run again after the lease", jobs=unheard)
        failed = self._outcomes.dead_letters
        log.info("worker stopped", jobs_done=self._info.jobs_done, settled=settled, dead_letters=failed)
        return 1 if not settled or (self._burst is not None and failed) else 0

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
        self._service.stopping()
        self._shutdown.stop()

    def _handle_int(self) -> None:
        self._service.stopping()
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

    def _reaped(self, pid: int) -> None:
        if self._events is not None:
            self._events.reaped(pid)
        if self._preemption is not None:
            self._preemption.reaped(pid)

    def _watch(self, child: ChildHandle) -> None:
        self._info.outdated = True
        self._child_io.watch(child)

    def _own_descriptors(self) -> list[int]:
        """Return the descriptors that a child must not inherit, except for the other children's pipes."""
        return [*self._descriptors(), *(self._exporter.descriptors() if self._exporter else ())]

    def _descriptors(self) -> list[int]:
        selector = [self._selector.fileno()] if isinstance(self._selector, selectors.EpollSelector) else []
        guard = self._preemption.descriptors() if self._preemption is not None else []
        return [*self._event_loop.descriptors(), *self._signals.descriptors(), *selector, *guard]

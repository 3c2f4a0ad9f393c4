"""The supervisor: the one process of a worker that talks to the queue. It runs no handler code.

One thread and one event loop over the connections, the children's channels and outputs, signals and
deadlines; nothing in it waits for anything else. So it knows at once which job a dead child had, keeps
time while a child hangs in C, and shows that it is alive while every core is busy.
"""

import gc
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable

import msgspec

from gopher.base.salvage import UNREADABLE
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.jobs.job import read_envelope
from gopher.jobs.options import resolve
from gopher.queue.moves import Fetched, FetchedJob, Heartbeat, Queue, Rescued
from gopher.queue.presence import hide_worker, show_worker
from gopher.queue.store import Server
from gopher.server.calls import Call
from gopher.server.crashpoints import reached
from gopher.server.event_loop import EventLoop
from gopher.server.pipeline import ALL_BACK, WAITED, Pipeline
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import bind, get_logger
from gopher.telemetry.tracing import is_on as tracing_is_on

from .children import interrupt
from .children.pool import STRAGGLER, ChildHandle, Pool, assignment, depth_for, holds_for
from .children.system import describe_exit, oom_kills
from .job_logs import job_fields
from .messages import Completed, Failed, Message, Progress, Ready, decode_message
from .queue_side.clock import ServerClock
from .queue_side.decisions import CANCELLED, LOST, RELEASED, Decision, on_crash, on_failure, on_no_handler, on_timeout
from .queue_side.declared_limits import DeclaredLimits
from .queue_side.fetcher import Fetcher
from .queue_side.inventory import Inventory
from .queue_side.priority_cycle import PriorityCycle
from .queue_side.settler import Settler
from .reports import report_running
from .running import Running
from .signals import Signals
from .tracing.exporter import Exporter, killed
from .worker_info import WorkerInfo, new_worker_id

log = get_logger("worker")

#: Seconds between two heartbeats while jobs run: how soon a cancel reaches them, at most.
BUSY_BEAT = 1.0
#: Share of the lease without an answer after which exclusive jobs are stopped.
EXCLUSIVE_SHARE = 0.8
#: Jobs of lost workers that are given back in one look.
RESCUED_AT_ONCE = 100
#: Jobs in a child's hands that keep it busy for a while, the seconds that one takes at least, and the longest rest.
PLENTY, QUICKEST, LONGEST_REST = 8, 10e-6, 0.0005
#: Jobs that are asked for in one call: the server has others to answer too.
AT_ONCE = 128
#: Jobs or results for which the server is not left without work until it has answered what was sent before.
MANY = 32
#: Seconds that the last outcomes may take to reach the server once all children have stopped.
LAST_WORDS = 5.0


class Supervisor:
    """One worker. `run` returns its exit code: 0 when every job was settled or given back."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._selector = selectors.DefaultSelector()
        self._signals = Signals()
        self._clock = ServerClock()
        self.worker_id = new_worker_id()
        #: None when tracing is off.
        self._exporter = (
            Exporter(lambda: [*self._descriptors(), *self._pool.descriptors()]) if tracing_is_on() else None
        )
        self._pool = Pool(settings, registry, self._own_descriptors, self._exporter.writer if self._exporter else None)
        self._pool.opened, self._pool.closed = self._watch_child, self._unwatch_child
        self._server = Server(settings, connections=2)
        self._event_loop = EventLoop(self._server, self._selector)
        self._fetchers: dict[str, Fetcher] = {}
        self._settlers: dict[str, Settler] = {}
        self._inventories: dict[str, Inventory] = {}
        self._limits: dict[str, DeclaredLimits] = {}
        self._info = WorkerInfo(list(settings.worker_queues), registry, self._clock)
        self._backlog: deque[Running] = deque()
        self._rescue_looks: dict[str, tuple[int, float]] = {}
        #: Queues whose last heartbeat was not answered yet, and that have not given us a lease yet.
        self._unanswered: set[str] = set()
        self._without_lease: set[str] = set()
        self._mean_seconds = 0.0
        #: Jobs that the children can take beyond those that are here or asked for.
        self._room = 0
        #: When a child for which a job is held has been busy for so long that it goes back (monotonic s).
        self._held_until = float("inf")
        self._health = HealthFile(settings.health_file, settings.worker_lease / 6, settings.worker_lease)
        self._beat_at = self._care_at = 0.0
        #: When to look after each queue, the next of which is `_care_at`.
        self._care_for_at: dict[str, float] = {}
        #: Heartbeats since a job ran.
        self._idle_beats = 0
        #: When a heartbeat was last answered (monotonic s), by queue: each may lie on a node of its own.
        self._heard_at = dict.fromkeys(settings.worker_queues, time.monotonic())
        self._oom_kills = oom_kills()
        self._quiet = False
        self._stop_by: float | None = None
        self._left = False
        self._lost = False

    # The loop

    def run(self) -> int:
        """Work until told to stop."""
        self._start()
        while not self._done():
            now = time.monotonic()
            self._keep_time(now)
            self._exchange(now)
            self._let_outcomes_gather()
            for key, mask in self._selector.select(self._pause()):
                # What an earlier event of this round has closed is not to be read any more.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
        return self._leave()

    def _let_outcomes_gather(self) -> None:
        """Rest a moment while every child has plenty to do, so that it is not for each outcome that we wake up.

        An answer of the server ends it: until the next calls come there is nothing to do there.
        """
        fewest = min((len(child.jobs) for child in self._pool.children.values() if child.ready), default=0)
        if fewest >= PLENTY:
            self._event_loop.wait_for_answer(min(fewest * QUICKEST, LONGEST_REST))

    def _start(self) -> None:
        bind(worker=self.worker_id)
        self._health.begin()
        self._signals.install()
        self._selector.register(self._signals.fileno(), selectors.EVENT_READ, lambda mask: self._handle_signals())
        # Children share the memory of what is imported already; a collection would touch it all.
        gc.collect()
        gc.freeze()
        if self._exporter is not None:
            self._exporter.maintain(time.monotonic())
        self._pool.maintain(time.monotonic())
        for name in self._settings.worker_queues:
            queue = self._server.queue(name)
            cycle = PriorityCycle(self._settings.worker_priority_weights)
            fetcher = Fetcher(
                queue,
                self._event_loop,
                cycle,
                self._settings.worker_poll_interval,
                with_prelude=self._exporter is not None,
            )
            self._fetchers[name] = fetcher
            self._settlers[name] = Settler(queue, fetcher.pipeline, self._clock, self._settings.worker_lease)
            self._inventories[name] = Inventory(fetcher)
            self._limits[name] = DeclaredLimits(queue, fetcher.pipeline, self._registry)
        self._register()
        # The first look at what others have left behind need not wait a whole period.
        self._care_at = time.monotonic() + 1.0
        self._care_for_at = dict.fromkeys(self._fetchers, self._care_at)
        log.info(
            "worker started",
            queues=",".join(self._settings.worker_queues),
            children=self._pool.wanted,
            types=",".join(handler.name for handler in self._registry),
            signals="TERM/INT: finish and leave, INT twice: leave now, TSTP: fetch no more, "
            "TTIN/TTOU: one child more/less, USR1: log what runs",
        )

    def _keep_time(self, now: float) -> None:
        self._pool.enforce(now)
        self._pool.maintain(now)
        if self._exporter is not None:
            self._exporter.maintain(now)
        if self._stop_by is not None and now >= self._stop_by:
            self._stop_now()
        self._take_from_stragglers(now)
        if now - min(self._heard_at.values()) > self._settings.worker_lease * EXCLUSIVE_SHARE:
            self._stop_exclusive(self._unheard(now, self._settings.worker_lease * EXCLUSIVE_SHARE))
        if now >= self._beat_at:
            self._beat(now)
        if now >= self._care_at and not self._quiet:
            self._care(now)
        self._event_loop.check(now)

    def _exchange(self, now: float) -> None:
        """Hand out what is here, send what is settled, ask for more."""
        # Much of it is handed out while the server works on what is sent here.
        much = len(self._backlog) >= MANY
        if not much:
            self._hand_out(now)
        if self._info.outdated or self._busy():
            self._beat_at = min(self._beat_at, now + BUSY_BEAT)
        spare = self._spare(now)
        for name, fetcher in self._fetchers.items():
            settler = self._settlers[name]
            if _may_send(fetcher.pipeline, settler.gathered):
                settler.send()
        if not self._lost:
            self._take_in(now, spare)
        self._event_loop.flush(now, spare)
        if much:
            self._hand_out(now)

    def _take_in(self, now: float, spare: float) -> None:
        room = held = 0
        if not self._quiet:
            room = self._pool.capacity(self._depth()) - len(self._backlog)
            # A node of a cluster that is away keeps nothing from the others: what it was asked for may never come.
            room -= sum(fetcher.asked_for for fetcher in self._fetchers.values() if fetcher.pipeline.connection.answers)
            held = self._held(now)
        for name, fetcher in self._fetchers.items():
            if not self._may_take(name):
                continue
            wanted = room + held
            if wanted <= held / 2:
                # Some are at hand still: those that take their places come together, with one call.
                wanted = 0
            if fetcher.must_fetch(now) or (wanted > 0 and fetcher.wants_fetch(now)):
                if _may_send(fetcher.pipeline, wanted):
                    # Of a server that is away one will do: others may be asked for the same places.
                    most = AT_ONCE if fetcher.pipeline.connection.trouble is None else 1
                    fetcher.fetch(self.worker_id, min(max(wanted, 1), most), now, self._taker(fetcher))
                    room -= fetcher.asked_for
            elif room > 0 and not fetcher.asked_for:
                fetcher.listen(self.worker_id, now, spare, self._taker(fetcher, by_blocking_pop=True))
            if fetcher.asked_for and fetcher.more and fetcher.pipeline.connection.answers:
                # There may be yet more than was asked for: those of less preference wait until that is known. Not for a
                # node that is away.
                room = held = 0
        self._room = room

    def _may_take(self, queue: str) -> bool:
        """Return whether jobs may come from a queue.

        Not without a lease: what a blocking pop brings then stands in an unknown list. Nor while many outcomes are
        refused.
        """
        return queue not in self._without_lease and not self._settlers[queue].delivery.full

    def _pause(self) -> float:
        now = time.monotonic()
        wake_at = min(self._pool.wake_at(), self._beat_at, self._care_at if not self._quiet else float("inf"))
        if self._stop_by is not None:
            # Once that is over, deaths and replies wake it; the last words have their own limit.
            wake_at = min(wake_at, self._stop_by if now < self._stop_by else self._stop_by + LAST_WORDS)
        if self._backlog:
            wake_at = min(wake_at, self._held_until)
        # At least once a second, for what has no moment of its own.
        for pipeline in self._event_loop.pipelines:
            wake_at = min(wake_at, pipeline.wake_at())
        for name, fetcher in self._fetchers.items():
            if fetcher.pipeline.busy:
                # Nothing of it is sent before that is answered.
                continue
            wake_at = min(wake_at, self._settlers[name].delivery.wake_at())
            if self._room > 0 and self._may_take(name):
                wake_at = min(wake_at, fetcher.wake_at())
        return max(min(wake_at - now, 1.0), 0.0)

    def _spare(self, now: float) -> float:
        return max(self._pool.wake_at() - now, 0.0)

    # Signals

    def _handle_signals(self) -> None:
        for number in self._signals.received():
            name = signal.Signals(number).name.removeprefix("SIG").lower()
            getattr(self, f"_handle_{name}")()

    def _handle_chld(self) -> None:
        now = time.monotonic()
        for child, status in self._pool.reap(now):
            self._bury(child, status, now)

    def _handle_term(self) -> None:
        self._stop()

    def _handle_int(self) -> None:
        if self._stop_by is None:
            self._stop()
        else:
            self._stop_by = min(self._stop_by, time.monotonic())

    def _handle_tstp(self) -> None:
        log.info("quiet: fetching no more jobs")
        self._be_quiet()

    def _handle_ttin(self) -> None:
        self._pool.wanted += 1

    def _handle_ttou(self) -> None:
        self._pool.wanted = max(self._pool.wanted - 1, 1)

    def _handle_usr1(self) -> None:
        for child in self._pool.children.values():
            head = child.head
            log.info("child", pid=child.pid, jobs_done=child.jobs_done, **(job_fields(head) if head else {}))

    # Children

    def _watch_child(self, child: ChildHandle) -> None:
        self._info.outdated = True
        self._selector.register(child.output, selectors.EVENT_READ, lambda mask: self._hear(child))
        self._selector.register(child.channel, selectors.EVENT_READ, lambda mask: self._listen(child, mask))

    def _unwatch_child(self, child: ChildHandle) -> None:
        for end in (child.output, child.channel):
            if end.fileno() in self._selector.get_map():
                self._selector.unregister(end)

    def _hear(self, child: ChildHandle) -> None:
        if not child.output.read(child.running_number):
            self._selector.unregister(child.output)

    def _listen(self, child: ChildHandle, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            child.channel.flush()
        messages = child.channel.receive()
        if messages:
            # What a job printed was written before it said that it ended.
            child.output.read(child.running_number)
        for data in messages:
            try:
                message = decode_message(data)
            except UNREADABLE:
                # A handler has written into the channel: nothing that comes out of it can be trusted any more.
                self._pool.kill(child, "nonsense")
                break
            self._take_message(child, message)
        self._mind_outbox(child)

    def _mind_outbox(self, child: ChildHandle) -> None:
        """Watch for room in a child's channel only while something waits for it."""
        waits = bool(child.channel.outbox)
        if waits != child.writing and child.channel.fileno() in self._selector.get_map():
            child.writing = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self._selector.modify(child.channel, events, lambda mask: self._listen(child, mask))

    def _take_message(self, child: ChildHandle, message: Message) -> None:
        if isinstance(message, Ready):
            child.ready = True
        elif child.killed or not child.jobs or message.number != child.jobs[0].number:
            return
        elif isinstance(message, Progress):
            head = child.jobs[0]
            head.progress = msgspec.json.encode({"fraction": message.fraction, "message": message.message})
        else:
            self._finish(child, message)

    def _finish(self, child: ChildHandle, outcome: Completed | Failed) -> None:
        reached("outcome.taken")
        now = time.monotonic()
        running = child.jobs[0]
        log_lines = child.output.close_job(running.number)
        self._pool.finished(child, now)
        self._info.job_done()
        # The first one is the best guess of how long the others are.
        share = 0.1 if self._mean_seconds else 1.0
        self._mean_seconds += share * (outcome.seconds - self._mean_seconds)
        settler = self._settlers[running.queue]
        if isinstance(outcome, Completed):
            settler.complete(running, outcome.seconds, outcome.result, log_lines)
            return
        decision = on_failure(
            running.job, outcome, running.handler, max_retries=running.max_retries, timeout=running.timeout
        )
        settler.settle(running, decision, log_lines, now - outcome.seconds, now)

    def _bury(self, child: ChildHandle, status: int, now: float) -> None:
        """Look after the jobs of a child that has died."""
        # What it had said before it died counts: a result that is whole is a result.
        if not child.killed:
            self._listen(child, 0)
        self._hear_last(child)
        jobs = list(child.jobs)
        if jobs and child.killed == "lost":
            self._trace(jobs[0], LOST)
        elif jobs:
            first, *behind = jobs
            self._settle_death(child, first, self._how(status), now)
            for running in behind:
                self._give_back(running)
        if not child.killed:
            log.warning("a child died", pid=child.pid, how=describe_exit(status), jobs=len(jobs))
        child.jobs.clear()
        self._info.outdated = True
        self._pool.close(child)

    def _how(self, status: int) -> str:
        """Say how a child died: in a word, but for the kernel's reason where there is one."""
        kills, self._oom_kills = self._oom_kills, oom_kills()
        how = describe_exit(status)
        return "out of memory (killed by the system)" if how == "SIGKILL" and self._oom_kills > kills else how

    def _hear_last(self, child: ChildHandle) -> None:
        if child.output.fileno() in self._selector.get_map():
            child.output.read(child.running_number)
            child.output.finish_line(child.running_number)

    def _settle_death(self, child: ChildHandle, running: Running, how: str, now: float) -> None:
        settings = self._settings
        if child.killed == "shutdown":
            self._trace(running, RELEASED)
            self._give_back(running)
            return
        output = child.output.tail(running.number)
        if child.killed == "timeout":
            decision = on_timeout(
                running.job, running.timeout, settings.worker_kill_grace, running.max_retries, running.handler
            )
        elif child.killed == "cancel":
            decision = CANCELLED
        else:
            how = "wrote into its control channel" if child.killed == "nonsense" else how
            decision = on_crash(running.job, how, output, settings.worker_max_crashes)
        log_lines = child.output.close_job(running.number)
        self._trace(running, decision)
        self._settlers[running.queue].settle(running, decision, log_lines, running.started, now)

    def _trace(self, running: Running, decision: Decision) -> None:
        """Have the span made of an attempt that no child could end itself."""
        if self._exporter is not None:
            lasted = max(time.monotonic() - running.started, 0.0)
            self._exporter.tell(killed(assignment(running), decision, lasted))

    def _take_from_stragglers(self, now: float) -> None:
        """Give jobs that wait behind a long one in a child's channel, or in one that leaves, to others."""
        for child in self._pool.children.values():
            if child.jobs and (child.leaving or now - child.jobs[0].started >= STRAGGLER):
                child.straggles = True
                self._backlog.extend(self._pool.retract(child, now))

    # Jobs

    def _taker(self, fetcher: Fetcher, *, by_blocking_pop: bool = False) -> Callable[[Fetched], None]:
        asked_as = self.worker_id

        def take(fetched: Fetched) -> None:
            if asked_as != self.worker_id:
                # The lease was lost meanwhile: what this brought is rescued as the rest.
                return
            if fetched.lost:
                self._lose()
                return
            self._clock.set(fetched.now)
            for job in fetched.jobs:
                running = self._running(job, fetcher.queue.name)
                if by_blocking_pop and not self._has_room():
                    # Where a blocking pop waits others may wait too: nothing is held of that queue.
                    self._give_back(running)
                else:
                    self._backlog.append(running)

        return take

    def _running(self, job: FetchedJob, queue: str) -> Running:
        handler = self._registry.get(job.type)
        envelope = read_envelope(job.envelope)
        options = resolve(envelope, handler, self._settings)
        return Running(
            job, queue, handler, options.max_retries, options.timeout, self.worker_id, retry_for=envelope.retry_for
        )

    def _hand_out(self, now: float) -> None:
        depth = self._depth()
        if self._backlog and not self._quiet:
            # Once the lease has run out unheard, others may have them.
            held_back = self._take_out(self._unheard(now, self._settings.worker_lease))
            self._give_up_strangers(now)
            self._pool.hand_out(self._backlog, depth, now)
            self._backlog.extend(held_back)
        # More than the children can take: others may have a free one.
        room = 0 if self._quiet else self._pool.capacity(depth) + self._held(now)
        surplus = len(self._backlog) - room
        self._held_until = self._pool.late_at(now)
        if surplus > 0 and not self._pool_is_growing():
            for _ in range(surplus):
                self._give_back(self._backlog.pop())
        for child in self._pool.children.values():
            if child.channel.outbox:
                self._mind_outbox(child)

    def _unheard(self, now: float, seconds: float) -> set[str]:
        """Return the queues of which the server has not said for so long that the lease on them was extended."""
        return {name for name, heard_at in self._heard_at.items() if now - heard_at > seconds}

    def _take_out(self, queues: set[str]) -> list[Running]:
        """Take the jobs of some queues out of the backlog; return them."""
        if not queues:
            return []
        taken = [running for running in self._backlog if running.queue in queues]
        self._backlog = deque(running for running in self._backlog if running.queue not in queues)
        return taken

    def _give_up_strangers(self, now: float) -> None:
        """Settle jobs whose type no handler here is registered for."""
        if all(running.handler for running in self._backlog):
            return
        strangers = [running for running in self._backlog if running.handler is None]
        self._backlog = deque(running for running in self._backlog if running.handler is not None)
        for running in strangers:
            decision = on_no_handler(running.job)
            self._trace(running, decision)
            self._settlers[running.queue].settle(running, decision, b"", now, now)

    def _has_room(self) -> bool:
        return self._pool_is_growing() or self._pool.capacity(self._depth()) > len(self._backlog)

    def _held(self, now: float) -> int:
        """Return how many jobs to have at hand beyond those that the children can take now."""
        return self._pool.soon_free(now) if holds_for(self._mean_seconds) else 0

    def _depth(self) -> int:
        return depth_for(self._mean_seconds, len(self._pool.children))

    def _pool_is_growing(self) -> bool:
        return not self._quiet and any(not child.ready for child in self._pool.children.values())

    def _give_back(self, running: Running) -> None:
        self._settlers[running.queue].requeue(running)

    # The lease

    def _register(self) -> None:
        for name, fetcher in self._fetchers.items():
            self._without_lease.add(name)
            self._send_heartbeat(fetcher)
            self._limits[name].declare()
        # Else a server that is emptied before the second beat would not be noticed.
        self._look_for_mark()
        self._show()
        self._lost = False
        self._beat_at = 0.0

    def _beat(self, now: float) -> None:
        """Show that this worker lives, learn what to cancel, report what runs."""
        slow = self._settings.worker_lease / 6
        self._idle_beats = 0 if self._busy() else self._idle_beats + 1
        self._beat_at = now + (slow if self._idle_beats else min(BUSY_BEAT, slow))
        self._health.beat()
        if self._left or self._lost:
            return
        # One at a time: while the server is away they would pile up.
        answering = self._fetchers.keys() - self._unanswered
        for name in answering:
            self._send_heartbeat(self._fetchers[name])
            self._limits[name].declare_refused()
        report_running(self._pool.children.values(), [self._fetchers[name] for name in answering])
        # The record of an idle worker says the same each time: every other beat will do to keep it. What its last jobs
        # or a new child have changed is shown with the next one.
        if answering and (self._info.outdated or not self._idle_beats or self._idle_beats % 2):
            self._show()
        if answering:
            self._look_for_mark()

    def _look_for_mark(self) -> None:
        """Look whether the server was emptied since the last look."""
        installation = self._server.installation
        self._event_loop.pipeline_to(self._server.keys.meta).add(installation.read_command(), self._take_mark)

    def _take_mark(self, reply: object) -> None:
        """Write again what this worker declares when the server was emptied, until the server has it."""
        installation = self._server.installation
        was_emptied = installation.saw(reply)
        if installation.is_untold:
            for command in installation.declaring([*self._fetchers]):
                self._event_loop.pipeline_to(command.key).add(command, _ignore)
        if was_emptied:
            for limits in self._limits.values():
                limits.declare()

    def _show(self) -> None:
        record = self._info.encode(self.worker_id, self._pool)
        lease = self._settings.worker_lease
        for command in show_worker(self._server.keys, self.worker_id, record, self._clock.now(), lease):
            self._event_loop.pipeline_to(command.key).add(command, _ignore)

    def _send_heartbeat(self, fetcher: Fetcher) -> None:
        name = fetcher.queue.name
        self._unanswered.add(name)
        first = name in self._without_lease
        call = fetcher.queue.heartbeat(self.worker_id, self._settings.worker_lease, first=first)
        fetcher.pipeline.add(call, self._heartbeat_taker(name))

    def _heartbeat_taker(self, name: str) -> Callable[[Heartbeat | Exception], None]:
        asked_as = self.worker_id

        def take(reply: Heartbeat | Exception) -> None:
            self._unanswered.discard(name)
            if asked_as == self.worker_id:
                self._heartbeat_answered(name, reply)

        return take

    def _heartbeat_answered(self, name: str, reply: Heartbeat | Exception) -> None:
        if isinstance(reply, Exception):
            log.error("the heartbeat was refused by the server", queue=name, error=str(reply))
            return
        if reply.lost:
            self._lose()
            return
        self._without_lease.discard(name)
        self._inventories[name].compare(reply.listed, lambda: self._tokens(name), self.worker_id)
        self._clock.set(reply.now)
        now = time.monotonic()
        if now - self._heard_at[name] > self._settings.worker_lease / 2:
            # The server was away: others may need a moment longer to show that they live.
            all_back = now + min(self._settings.worker_lease, ALL_BACK)
            self._care_for_at[name] = max(self._care_for_at[name], all_back)
        self._heard_at[name] = now
        self._health.heard()
        for child in self._pool.children.values():
            if child.jobs and child.jobs[0].job.id in reply.cancelling and not child.killed:
                self._pool.interrupt(child, interrupt.CANCEL, now)

    def _tokens(self, queue: str) -> list[str]:
        """Return the tokens of all jobs of a queue that are in our hands, from the fetch's reply to the outcome's."""
        in_hand = [*self._backlog, *self._settlers[queue].held()]
        for child in self._pool.children.values():
            in_hand += child.jobs
        worker_id = self.worker_id
        return [each.job.token for each in in_hand if each.queue == queue and each.worker_id == worker_id]

    def _stop_exclusive(self, queues: set[str]) -> None:
        """The lease on these queues may run out unseen: stop jobs that must never run twice at once."""
        for child in self._pool.children.values():
            head = child.head
            if head is None or head.queue not in queues or child.killed:
                continue
            if head.handler is not None and head.handler.exclusive:
                log.warning("job stopped: the lease may be lost", **job_fields(head))
                self._pool.kill(child, "shutdown")

    def _lose(self) -> None:
        """Our lease was taken away: others have our jobs. Drop them all and begin anew under another id."""
        if self._lost:
            return
        self._lost = True
        log.warning("the lease was lost: this worker was not heard of in time; its jobs were given to others")
        self._backlog.clear()
        for child in list(self._pool.children.values()):
            if child.jobs:
                self._pool.kill(child, "lost")
        self._event_loop.forget(self._server.keys.worker(self.worker_id))
        for name, settler in self._settlers.items():
            settler.delivery.lose(self.worker_id)
            self._inventories[name].forget()
        self.worker_id = new_worker_id()
        bind(worker=self.worker_id)
        for fetcher in self._fetchers.values():
            fetcher.blocking_pop.close()
        self._register()

    def _care(self, now: float) -> None:
        """Do the scheduler's most needed duties, slowly: without one, jobs come late but never strand."""
        for name, fetcher in self._fetchers.items():
            if now < self._care_for_at[name]:
                continue
            if name in self._unanswered or now - self._heard_at[name] > self._settings.worker_lease / 2:
                # The server may be away: what is asked of it now would be done long after, and pile up. Or it refuses
                # heartbeats: once it takes them again, others may need a moment longer than we do to send theirs.
                self._care_for_at[name] = now + 0.1
                continue
            self._care_for_at[name] = now + self._settings.worker_lease
            # In one batch with it: should the server be away for longer than the lease just now, we do not
            # find ourselves among the lost when it is back.
            self._send_heartbeat(fetcher)
            fetcher.pipeline.add(self._rescue(fetcher.queue, now), self._rescuer(name))
            fetcher.pipeline.add(fetcher.queue.promote(), _ignore)
            fetcher.pipeline.add(fetcher.queue.sample(), _ignore)
        self._care_at = min(self._care_for_at.values())

    def _rescue(self, queue: Queue, asked: float) -> Call:
        last_now, looked = self._rescue_looks.get(queue.name, (None, 0.0))
        # Nobody, when this had to wait: leases have run out that nobody could extend.
        return queue.rescue(
            last_now,
            lambda: time.monotonic() - looked,
            lambda: RESCUED_AT_ONCE if time.monotonic() - asked <= WAITED else 0,
        )

    def _rescuer(self, name: str) -> Callable[[Rescued | Exception], None]:
        def answered(reply: Rescued | Exception) -> None:
            if isinstance(reply, Exception) or reply.step is not None:
                self._rescue_looks.pop(name, None)
                return
            # When the answer came, not when we asked: it may have waited long for a server that was away.
            self._rescue_looks[name] = (reply.now, time.monotonic())
            if reply.workers or reply.returned:
                log.warning("jobs of lost workers went back", queue=name, jobs=reply.returned, workers=reply.workers)

        return answered

    # Leaving
    #
    # The order, and why: first take nothing new, or it would have to be given back. Then give back what no
    # child has begun: others can start it at once. Then let the children finish, and take the jobs of those
    # that do not finish in time. Last of all the outcomes must reach the server; only then the lease goes.

    def _be_quiet(self) -> None:
        self._quiet = True
        for fetcher in self._fetchers.values():
            fetcher.blocking_pop.close()

    def _stop(self) -> None:
        if self._stop_by is not None:
            return
        self._be_quiet()
        self._stop_by = time.monotonic() + self._settings.worker_shutdown_timeout
        for child in list(self._pool.children.values()):
            self._backlog.extend(self._pool.retract(child, time.monotonic()))
        log.info("stopping", running=sum(1 for child in self._pool.children.values() if child.jobs))

    def _stop_now(self) -> None:
        for child in self._pool.children.values():
            if child.jobs and not child.killed:
                self._pool.kill(child, "shutdown")
        assert self._stop_by is not None
        if time.monotonic() > self._stop_by + LAST_WORDS:
            self._left = True

    def _done(self) -> bool:
        if self._stop_by is None:
            return False
        if self._left:
            return True
        if self._busy() or self._backlog or any(each.waiting for each in self._settlers.values()):
            return False
        # While the server is away nothing more comes of a fetch: what it may have brought is rescued.
        return (
            all(pipeline.idle or not pipeline.connection.connected for pipeline in self._event_loop.pipelines)
            and not self._must_fetch()
        )

    def _must_fetch(self) -> bool:
        now = time.monotonic()
        return any(
            fetcher.pipeline.connection.connected and (fetcher.asked_for or fetcher.expects(now))
            for fetcher in self._fetchers.values()
        )

    def _busy(self) -> bool:
        return any(child.jobs for child in self._pool.children.values())

    def _leave(self) -> int:
        for child in list(self._pool.children.values()):
            self._pool.kill(child, "leaving")
        self._health.remove()
        settled = not self._left
        if settled:
            self._resign()
        if self._exporter is not None:
            self._exporter.stop()
        self._server.close()
        unheard = sum(len(settler.held()) for settler in self._settlers.values())
        if unheard:
            log.error("outcomes did not reach the server; their jobs run again once the lease is over", jobs=unheard)
        log.info("worker stopped", jobs_done=self._info.jobs_done, settled=settled)
        return 0 if settled else 1

    def _resign(self) -> None:
        try:
            for fetcher in self._fetchers.values():
                if self._server.run(fetcher.queue.resign(self.worker_id)) == "HOLDS":
                    log.warning("jobs were left behind; they are rescued when the lease runs out")
            for command in hide_worker(self._server.keys, self.worker_id):
                self._server.client.execute_command(*command.words)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("could not give the lease back", error=str(error))

    def _own_descriptors(self) -> list[int]:
        """Return what a child must not inherit, but for the other children's pipes."""
        return [*self._descriptors(), *(self._exporter.descriptors() if self._exporter else ())]

    def _descriptors(self) -> list[int]:
        selector = [self._selector.fileno()] if isinstance(self._selector, selectors.EpollSelector) else []
        return [*self._event_loop.descriptors(), *self._signals.descriptors(), *selector]


def _may_send(pipeline: Pipeline, jobs: int) -> bool:
    """Return whether to send now what concerns so many jobs: few wait for the last reply, that they may become more."""
    return not pipeline.busy or (pipeline.takes_another and jobs >= MANY)


def _ignore(_reply: object) -> None:
    pass

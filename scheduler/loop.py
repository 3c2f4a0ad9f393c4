"""The scheduler's loop: one thread that sleeps until the next duty is due, or an alarm arrives."""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from gopher.base.salvage import is_corrupt, text
from gopher.config.settings import Settings
from gopher.jobs.registry import Registry
from gopher.queue.presence import hide_scheduler, show_scheduler
from gopher.queue.relay import Relay
from gopher.queue.store import Server
from gopher.queue.survey import Survey
from gopher.reads.health import Unserved
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import get_logger
from gopher.telemetry.service_manager import ServiceManager
from gopher.webhooks.relaying import WebhookRelay

from .alarms import Alarms
from .forgetter import Forgetter
from .housekeeper import Housekeeper
from .hurry import Hurry
from .queue_duties import QueueDuties
from .sweeper import Sweeper

log = get_logger("scheduler")

#: Seconds between two checks for new queues; a new queue's first job also triggers an alarm.
NEW_QUEUES_PERIOD = 5.0
#: Seconds that a scheduler counts as alive after its last heartbeat.
ALIVE = 15.0
#: Seconds for which the record of queues with jobs and no worker is valid, unless it is written again.
NOTED_FOR = 60
#: Minimum seconds between two writes of it.
NOTE_PERIOD = 1.0


class Scheduler:
    """Runs the duties of all queues. `run` returns the exit code."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._server = Server(settings, connections=2)
        self._keys = self._server.keys
        self._id = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._housekeeper = Housekeeper(self._server, registry, self._id, lambda: list(self._queues))
        self._sweeper = Sweeper(self._server)
        self._webhooks = WebhookRelay(self._server)
        self._selector = selectors.DefaultSelector()
        self._event_loop = EventLoop(self._server, self._selector)
        self._alarms = Alarms(self._event_loop, one_each=self._server.pools.clustered)
        self._alarms.add(self._keys.alarm, self._look_soon)
        self._queues: dict[str, QueueDuties] = {}
        self._forgetter = Forgetter(self._keys, self._server.queue, self._send)
        self._hurry = Hurry(lambda name, when: self._queues[name].survey_at(when))
        #: Queues that have jobs and no worker, what was written about them, and when (monotonic s).
        self._unserved: set[str] = set()
        self._noted: Unserved | None = None
        self._noted_at = float("-inf")
        #: Queues that have not been surveyed yet.
        self._unsurveyed: set[str] = set()
        #: The server's time (ms) and ours (monotonic s) at its last reply.
        self._clock: tuple[int, float] | None = None
        #: Whether to read the names of new queues before listening for alarms again.
        self._learning = not self._server.pools.clustered
        #: How many looks at the names were started.
        self._looks = 0
        self._health = HealthFile(settings.health_file, ALIVE / 3, 2 * ALIVE)
        self._service = ServiceManager()
        self._look_at = self._show_at = 0.0
        self._stopping = False

    def run(self) -> int:
        self._housekeeper.declare()
        self._health.begin()
        self._install_signals()
        log.info("scheduler started", scheduler=self._id)
        self._housekeeper.start()
        self._sweeper.start()
        while not self._stopping:
            now = time.monotonic()
            if now >= self._service.due_at:
                # Ready once the server has answered.
                self._service.tell(now, is_ready=self._clock is not None)
            self._look_and_show(now)
            self._do_duties(now)
            self._note_unserved(now)
            spare = max(self._next_due(now) - now, 0.1)
            self._event_loop.check(now)
            self._event_loop.flush(now, spare)
            if not self._learning:
                self._alarms.listen(now, spare)
            for key, mask in self._selector.select(self._pause()):
                # Skip what an earlier event of this round has closed.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
        self._service.stopping()
        self._health.remove()
        self._housekeeper.stop()
        self._sweeper.stop()
        self._hide()
        log.info("scheduler stopped")
        return 0

    def _look_and_show(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + NEW_QUEUES_PERIOD
            # In this order, so that a name that moves to `leaving` meanwhile is seen at least once.
            self._looks += 1
            look = partial(self._look_at_leaving, self._looks)
            self._send(Command(self._keys.queues, ("SMEMBERS", self._keys.queues)), look)
        if now >= self._show_at:
            self._show_at = now + ALIVE / 3
            self._health.beat()
            self._send(Command(self._keys.schedulers, ("TIME",)), self._show)

    def _send(self, call: Any, callback: Callable[[Any], None]) -> None:
        self._event_loop.pipeline_to(call.key).add(call, callback)

    def _do_duties(self, now: float) -> None:
        for duties in self._queues.values():
            duties.do(now)

    def _next_due(self, now: float) -> float:
        return min((duties.next_due for duties in self._queues.values()), default=now)

    def _look_at_leaving(self, look: int, known: Any) -> None:
        command = Command(self._keys.leaving, ("ZRANGE", self._keys.leaving, "0", "-1", "WITHSCORES"))
        self._send(command, lambda leaving: self._take_queues(look, known, leaving))

    def _take_queues(self, look: int, known: Any, leaving: Any) -> None:
        # Not if an alarm has come since: the next look is to find the queue that it announced, whose alarms would not
        # be heard before the blocking pop has ended.
        if look == self._looks and self._look_at:
            self._learning = False
        leaving = [] if is_corrupt(leaving) else leaving
        if isinstance(known, Exception) or isinstance(leaving, Exception):
            return
        names = {text(member) for member in known}
        since = {text(name): score for name, score in zip(leaving[0::2], leaving[1::2], strict=True)}
        for name in sorted(names | since.keys()):
            if name not in self._queues:
                self._add_queue(name)
        for name in self._queues.keys() - names - since.keys():
            self._remove_queue(name)
        self._close_unused_links()
        if self._clock is not None:
            now = time.monotonic()
            server_now, then = self._clock
            self._forgetter.take_names(names, since, server_now + round((now - then) * 1000), now)

    def _close_unused_links(self) -> None:
        if self._server.pools.clustered:
            keys = self._keys
            general = (keys.queues, keys.leaving, keys.schedulers, keys.declaring, keys.unserved, keys.forgotten)
            self._event_loop.close_unused([*general, *(self._keys.for_queue(name).prefix for name in self._queues)])

    def _add_queue(self, name: str) -> None:
        queue = self._server.queue(name)
        pipeline = self._event_loop.pipeline_to(queue.keys.prefix)
        moving = self._housekeeper.finish_move
        relay = Relay(queue, self._send, self._server.queue, {"webhook": self._webhooks.steps})
        duties = QueueDuties(
            queue, pipeline, self._settings, lambda: len(self._queues), self._take_survey, moving, relay
        )
        self._queues[name] = duties
        self._unsurveyed.add(name)
        self._hurry.add(name)
        self._alarms.add(queue.keys.alarm, duties.look_soon)

    def _remove_queue(self, name: str) -> None:
        del self._queues[name]
        self._hurry.remove(name)
        self._unserved.discard(name)
        self._unsurveyed.discard(name)
        self._alarms.remove(self._keys.for_queue(name).alarm)

    def _take_survey(self, duties: QueueDuties, found: Survey, now: float) -> None:
        name = duties.queue.name
        if self._queues.get(name) is not duties:
            return
        self._unsurveyed.discard(name)
        if found.waits and not found.served:
            self._unserved.add(name)
        else:
            self._unserved.discard(name)
        self._hurry.take_survey(name, is_empty=not found.holds, now=now)
        again = self._forgetter.take_survey(name, found, now)
        if again is not None:
            duties.survey_at(again)

    def _note_unserved(self, now: float) -> None:
        """Record which queues have jobs and no worker, for health checks."""
        if not self._queues or self._unsurveyed:
            return
        noted = Unserved.from_names(sorted(self._unserved))
        since = now - self._noted_at
        if since >= NOTED_FOR / 3 or (noted != self._noted and since >= NOTE_PERIOD):
            self._noted, self._noted_at = noted, now
            words = ("SET", self._keys.unserved, msgspec.json.encode(noted), "EX", str(NOTED_FOR))
            self._send(Command(self._keys.unserved, words), _ignore)

    def _look_soon(self) -> None:
        self._look_at = 0.0
        # In a cluster each queue has its own alarm.
        self._learning = not self._server.pools.clustered

    def _show(self, reply: tuple[int, int] | Exception) -> None:
        if isinstance(reply, Exception):
            return
        self._health.heard()
        now = int(reply[0]) * 1000 + int(reply[1]) // 1000
        self._clock = (now, time.monotonic())
        for command in show_scheduler(self._keys, self._id, now, ALIVE):
            self._event_loop.pipeline_to(command.key).add(command, _ignore)

    def _hide(self) -> None:
        try:
            for command in hide_scheduler(self._keys, self._id):
                self._server.client.execute_command(*command.words)
        except Exception as error:  # noqa: BLE001 - it is forgotten in a few seconds anyhow
            log.warning("could not deregister", error=str(error))
        self._server.close()

    def _pause(self) -> float:
        now = time.monotonic()
        wake_at = min(self._look_at, self._show_at, self._service.beat_at)
        if not self._learning:
            # Otherwise no reconnection would be attempted, and this would be overdue all the time.
            wake_at = min(wake_at, self._alarms.wake_at())
        wake_at = min([wake_at, *(duties.next_due for duties in self._queues.values())])
        wake_at = min(wake_at, self._event_loop.wake_at())
        return max(wake_at - now, 0.0)

    def _install_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)

        def stop(_mask: int) -> None:
            self._stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _queued)
        signal.set_wakeup_fd(writer)
        self._selector.register(reader, selectors.EVENT_READ, stop)


def _queued(*_: object) -> None:
    """Does nothing: the wakeup descriptor reports the signal."""


def _ignore(_reply: object) -> None:
    pass

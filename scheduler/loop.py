"""The scheduler's loop: one thread that sleeps until the next duty, or until an alarm rings."""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from gopher.alive import HealthFile
from gopher.link import Bell, Link
from gopher.logs import get_logger
from gopher.presence import Command, hide_scheduler, show_scheduler
from gopher.registry import Registry
from gopher.server import Server
from gopher.settings import Settings
from gopher.wires import Wires

from .duties import Duty, Promoter, Pruner, Redriver, Rescuer, Sampler
from .housekeeper import Housekeeper
from .ticker import Ticker

log = get_logger("scheduler")

#: Seconds between two looks for queues that are new; a new queue's first job rings too.
NEW_QUEUES_PERIOD = 5.0
#: Seconds that a scheduler counts as alive after it was last heard of.
ALIVE = 15.0
#: Seconds that BLPOP waits on the server.
BLOCK = 30
#: Seconds until a duty that was refused is tried again.
AFTER_ERROR = 1.0


class Alarms:
    """Blocks on the alarm lists: all of them on one connection, but in a cluster one each."""

    def __init__(self, wires: Wires, *, one_each: bool) -> None:
        self._wires = wires
        self._one_each = one_each
        self._callbacks: dict[str, Callable[[], None]] = {}
        self._bells: list[tuple[Bell, list[str]]] = []

    def add(self, key: str, callback: Callable[[], None]) -> None:
        """Call `callback` whenever something is pushed to the list `key`."""
        self._callbacks[key] = callback
        if self._one_each or not self._bells:
            self._bells.append((self._wires.bell(key, self._rung), [key]))
        else:
            bell, keys = self._bells[0]
            if bell.waiting:
                # For the old keys only: the next `listen` waits for all.
                bell.close()
                self._ring(keys)
            keys.append(key)

    def listen(self, now: float, spare: float) -> None:
        for bell, keys in self._bells:
            bell.wait([Command(keys[0], ("BLPOP", *keys, BLOCK))], BLOCK, now, spare)

    def wake_at(self) -> float:
        return min(bell.wire.wake_at() for bell, _ in self._bells)

    def _rung(self, bell: Bell, now: float) -> None:
        (popped,) = bell.readable(now) or (None,)
        if isinstance(popped, list):
            self._callbacks[popped[0].decode()]()
        elif not bell.wire.connected:
            self._ring(next(keys for each, keys in self._bells if each is bell))

    def _ring(self, keys: list[str]) -> None:
        """Ring for all keys: an alarm may have been taken off its list and lost with the connection."""
        for key in keys:
            self._callbacks[key]()


class Scheduler:
    """Carries out the duties of all queues. `run` returns the exit code."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._server = Server(settings, connections=2)
        self._keys = self._server.keys
        self._housekeeper = Housekeeper(self._server, registry, lambda: list(self._duties))
        self._id = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._selector = selectors.DefaultSelector()
        self._wires = Wires(self._server, self._selector)
        self._general = self._wires.link_to(self._keys.queues)
        self._alarms = Alarms(self._wires, one_each=self._server.pools.clustered)
        self._alarms.add(self._keys.alarm, self._look_soon)
        #: The duties of each queue, with the link they go over.
        self._duties: dict[str, list[tuple[Duty, Link]]] = {}
        #: When each is to be done next (monotonic s); infinity while its answer is under way.
        self._due: dict[Duty, float] = {}
        #: Until when a duty rests of whose calls one was refused.
        self._rests: dict[Duty, float] = {}
        self._health = HealthFile(settings.health_file, ALIVE / 3, 2 * ALIVE)
        self._look_at = self._show_at = 0.0
        self._stopping = False

    def run(self) -> int:
        self._housekeeper.declare()
        self._health.begin()
        self._install_signals()
        log.info("scheduler started", scheduler=self._id)
        self._housekeeper.start()
        while not self._stopping:
            now = time.monotonic()
            self._look_and_show(now)
            self._do_duties(now)
            spare = max(min(self._due.values(), default=now) - now, 0.1)
            self._wires.check(now)
            self._wires.flush(now, spare)
            self._alarms.listen(now, spare)
            for key, mask in self._selector.select(self._pause()):
                # What an earlier event of this round has closed is not to be read any more.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
        self._health.remove()
        self._housekeeper.stop()
        self._hide()
        log.info("scheduler stopped")
        return 0

    def _look_and_show(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + NEW_QUEUES_PERIOD
            self._general.add(Command(self._keys.queues, ("SMEMBERS", self._keys.queues)), self._take_queues)
        if now >= self._show_at:
            self._show_at = now + ALIVE / 3
            self._health.beat()
            self._general.add(Command(self._keys.schedulers, ("TIME",)), self._show)

    def _do_duties(self, now: float) -> None:
        for duties in self._duties.values():
            for duty, link in duties:
                if now >= self._due[duty]:
                    self._due[duty] = float("inf")
                    link.add(duty.call(now), self._taker(duty, link))

    def _taker(self, duty: Duty, link: Link) -> Callable[[object], None]:
        def take(reply: object) -> None:
            now = time.monotonic()
            if isinstance(reply, Exception):
                log.error("a duty was refused by the server", duty=type(duty).__name__, error=str(reply))
                self._due[duty] = now + AFTER_ERROR
            else:
                due = min(duty.took(reply, now), self._due[duty])
                self._due[duty] = max(due, self._rests.pop(duty, 0.0))
                for call in duty.follow_ups():
                    link.add(call, lambda reply: self._take_follow_up(duty, reply))

        return take

    def _take_follow_up(self, duty: Duty, reply: object) -> None:
        if isinstance(reply, Exception):
            log.error("a schedule could not fire", error=str(reply))
            # It is still due: without a rest it would be found and refused as fast as the server answers.
            self._rests[duty] = time.monotonic() + AFTER_ERROR
            self._due[duty] = max(self._due[duty], self._rests[duty])

    def _take_queues(self, reply: set[bytes] | list[bytes] | Exception) -> None:
        if not isinstance(reply, Exception):
            for name in sorted(member.decode() for member in reply):
                if name not in self._duties:
                    self._add_queue(name)

    def _add_queue(self, name: str) -> None:
        queue = self._server.queue(name)
        link = self._wires.link_to(queue.keys.prefix)
        promoter, redriver = Promoter(queue), Redriver(queue)
        ticker = Ticker(queue, self._settings.namespace)
        rescuer, pruner = Rescuer(queue, self._settings.worker_lease), Pruner(queue, self._settings)
        duties: list[Duty] = [promoter, ticker, redriver, rescuer, pruner, Sampler(queue)]
        self._duties[name] = [(duty, link) for duty in duties]
        self._due |= dict.fromkeys(duties, 0.0)

        def look_soon() -> None:
            self._due[promoter] = self._due[ticker] = self._due[redriver] = 0.0

        self._alarms.add(queue.keys.alarm, look_soon)

    def _look_soon(self) -> None:
        self._look_at = 0.0

    def _show(self, reply: tuple[int, int] | Exception) -> None:
        if isinstance(reply, Exception):
            return
        self._health.heard()
        now = int(reply[0]) * 1000 + int(reply[1]) // 1000
        for command in show_scheduler(self._keys, self._id, now, ALIVE):
            self._wires.link_to(command.key).add(command, _ignore)

    def _hide(self) -> None:
        try:
            for command in hide_scheduler(self._keys, self._id):
                self._server.client.execute_command(*command.words)
        except Exception as error:  # noqa: BLE001 - it is forgotten in a few seconds anyhow
            log.warning("could not say good-bye", error=str(error))
        self._server.close()

    def _pause(self) -> float:
        now = time.monotonic()
        wake_at = min(self._look_at, self._show_at, self._alarms.wake_at(), *self._due.values())
        wake_at = min(wake_at, *(link.wake_at() for link in self._wires.links))
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
    """Nothing to do here: the wakeup descriptor has it."""


def _ignore(_reply: object) -> None:
    pass

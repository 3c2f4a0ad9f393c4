"""Eviction on a full server: records of finished jobs are removed early, oldest first, across all queues.

It is triggered by calls that the server has rejected because it is out of memory, before they are sent again; and by
the scheduler, which keeps the used memory below a fraction of `maxmemory`, so that calls are not rejected.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gopher.base.salvage import order
from gopher.base.waiting import Mutex, sleep
from gopher.errors import ServerError
from gopher.server.calls import Command
from gopher.telemetry.loggers import get_logger

from .keys import Keys
from .moves import Queue
from .replies import Evicted

log = get_logger("memory")

#: The scheduler evicts above the first fraction of `maxmemory`, down to the second.
FULL, ENOUGH = 0.9, 0.87
#: Seconds for which a record is kept if others can be evicted: longer than calls are retried, so that a retry finds
#: what it has stored. And in any case: longer than the polling interval of clients that wait for a job.
KEPT, KEPT_IN_ANY_CASE = 3.0, 0.5
#: Records evicted per script, which takes the server 1 to 3 ms, and per rejected call.
PIECE, MOST = 500, 20_000
#: Maximum seconds of a pass, for which other threads wait.
LONGEST = 0.25
#: Memory that a rejected call frees in addition to what is missing: as a fraction of `maxmemory`, and at most (bytes).
SPARE, MOST_SPARE = 0.02, 4 * 2**20
#: Seconds between the scheduler's checks of a server without, or with unknown, `maxmemory`.
NO_LIMIT_PERIOD = 15.0
#: Passes without effect on the used memory after which eviction is suspended; seconds until it is tried again.
STRIKES, REST, LONGEST_REST = 3, 1.0, 60.0
#: Passes for one call after which the next ones tell. The first ones may have been used up by other calls, and by the
#: connections that these were sent on.
TELLING = 2
#: Number of queues per pass: those with the oldest records.
_QUEUES = 32
#: Seconds for which the names of queues and the skipped positions are cached; seconds between log lines.
_NAMES_FOR, _PLACES_FOR, _LOG_EVERY = 1.0, 10.0, 60.0


class Memory(NamedTuple):
    """A server's memory in bytes. `limit` is 0 without a `maxmemory`."""

    used: int
    limit: int
    #: Memory of the empty server.
    least: int


def read_memory(reply: Any) -> Memory | None:
    """Return the memory from INFO; None if INFO is not permitted or incomplete."""
    if not isinstance(reply, bytes):
        return None
    info = dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)
    try:
        # Buffers of the append-only file and replicas count as used, but not towards the limit.
        used = int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))
        return Memory(used, int(info["maxmemory"]), int(info.get("used_memory_startup", 0)))
    except (KeyError, ValueError):
        return None


class _Head(NamedTuple):
    """The end time (ms) of the first job in a queue's index that was not skipped."""

    ended: int
    queue: str


class Evictor:
    """Evicts records of finished jobs of an installation. Threads share it.

    `exchange` sends calls to one node and returns the reply or error of each; `names` returns the names of the queues
    on the node of a key.
    """

    def __init__(
        self, exchange: Callable[[Sequence[Any]], list[Any]], keys: Keys, names: Callable[[str], Sequence[str]]
    ) -> None:
        self._exchange = exchange
        self._keys = keys
        self._names = names
        self._lock = Mutex()
        self._known_names: dict[str, tuple[float, list[str]]] = {}
        #: Start position in the index of each queue, after records that must stay; and since when.
        self._places: dict[str, int] = {}
        self._places_at = 0.0
        self._made_at = 0.0
        self._strikes = 0
        self._rest = REST
        self._useless_until = 0.0
        self._removed = 0
        self._logged_at = 0.0

    def make_room(self, key: str, passes: int = 0) -> bool:
        """Free memory on the node of `key`, which has rejected a call; return whether to send the call again.

        `passes` is how often memory was freed for the call before: then more is freed, since sending takes memory, too.
        """
        asked = time.monotonic()
        with self._lock:
            if self._made_at > asked:
                # Another thread has freed memory while this one waited.
                return True
            if asked < self._useless_until:
                return False
            made = self._make_room(key, passes)
            if made:
                self._made_at = time.monotonic()
            return made

    def keep_below(self, key: str) -> float:
        """Evict records on the node of `key` if little memory is left; return the seconds until the next check."""
        with self._lock:
            memory = self.memory(key)
            if memory is None or not memory.limit or memory.limit <= memory.least:
                # Unknown or no limit: rejected calls free memory themselves.
                return NO_LIMIT_PERIOD
            if memory.used < FULL * memory.limit:
                return 1.0 if memory.used < (FULL - 0.1) * memory.limit else 0.2
            if time.monotonic() < self._useless_until:
                return max(self._useless_until - time.monotonic(), 0.2)
            freed = self._free(key, memory.used - ENOUGH * memory.limit, KEPT)
            self._learn(key, memory, freed.bytes)
            return 0.0 if freed.records and time.monotonic() >= self._useless_until else 1.0

    def memory(self, key: str) -> Memory | None:
        (reply,) = self._exchange([Command(key, ("INFO", "memory"))])
        return read_memory(reply)

    def _make_room(self, key: str, passes: int) -> bool:
        memory = self.memory(key)
        if memory is not None and 0 < memory.limit <= memory.least:
            # Not because of records.
            self._give_up(0.25)
            return False
        missing = 0.0
        if memory is not None:
            missing = max(memory.used - memory.limit, 0) + min(SPARE * memory.limit, MOST_SPARE) * 2**passes
        freed = self._free(key, missing, KEPT)
        if not freed.records:
            freed = self._free(key, missing, KEPT_IN_ANY_CASE)
        if freed.records:
            if memory is not None and passes >= TELLING:
                self._learn(key, memory, freed.bytes)
            return True
        if freed.young:
            # They have just ended: some can be evicted a moment later.
            sleep(0.1)
            return True
        self._give_up(0.25)
        return False

    def _free(self, key: str, missing: float, keep_for: float) -> Evicted:
        """Evict records of the given size: at least one batch, and for at most the time of a pass."""
        began = time.monotonic()
        if began - self._places_at > _PLACES_FOR:
            self._places, self._places_at = {}, began
        records = size = 0
        limit = PIECE
        while True:
            piece = self._remove(key, limit, keep_for)
            records, size = records + piece.records, size + piece.bytes
            if size:
                limit = max(min(round((missing - size) / (size / records)), PIECE), PIECE // 10)
            # If sizes are unknown, one batch is evicted and the caller checks again.
            is_over = size >= missing or not size or records >= MOST or time.monotonic() - began > LONGEST
            if (records and is_over) or not (piece.records or piece.place):
                break
        self._tell(records)
        return Evicted(records, size, 0, piece.young)

    def _remove(self, key: str, limit: int, keep_for: float) -> Evicted:
        """Evict the oldest records, `limit` or a few more; `place` is how many are skipped."""
        heads = self._heads(key)
        if not heads:
            return Evicted(0, 0, 0, 0)
        until = self._cut(heads, limit)
        queues = [head.queue for head in heads[:_QUEUES] if head.ended <= until]
        calls = [self._queue(name).evict(limit, self._places.get(name, 0), until, keep_for) for name in queues]
        replies = self._exchange(calls) if calls else []
        records = size = passed = young = 0
        for name, reply in zip(queues, replies, strict=True):
            if isinstance(reply, Evicted):
                passed += reply.place - self._places.get(name, 0)
                self._places[name] = reply.place
                records, size, young = records + reply.records, size + reply.bytes, young + reply.young
        return Evicted(records, size, passed, young)

    def _heads(self, key: str) -> list[_Head]:
        """Return the queues with finished jobs, the one with the oldest first."""
        names = self._queues_near(key)
        commands = []
        for name in names:
            finished, place = self._keys.for_queue(name).finished, str(self._places.get(name, 0))
            commands.append(Command(finished, ("ZRANGE", finished, place, place, "WITHSCORES")))
        replies = self._exchange(commands) if commands else []
        heads = zip(names, replies, strict=True)
        return sorted(_Head(order(head[1]), name) for name, head in heads if isinstance(head, list) and head)

    def _cut(self, heads: list[_Head], limit: int) -> int:
        """Return the end time up to which there are about `limit` records in all queues together."""
        # By the server's clock, since ours may be far behind.
        latest = max(int(time.time() * 1000), heads[-1].ended) + 60_000
        # Nothing is evicted from further queues, so nothing younger than their oldest record may be evicted, either.
        latest = heads[_QUEUES].ended - 1 if len(heads) > _QUEUES else latest
        low, high = heads[0].ended, latest
        compared = heads[:_QUEUES]
        if len(compared) == 1 or high <= low:
            return max(high, low)
        while low < high:
            middle = (low + high) // 2
            count = self._count(compared, middle)
            if limit // 2 <= count <= limit:
                return middle
            low, high = (low, middle) if count > limit else (middle + 1, high)
        return low

    def _count(self, heads: Sequence[_Head], until: int) -> int:
        commands = []
        for head in heads:
            finished = self._keys.for_queue(head.queue).finished
            commands.append(Command(finished, ("ZCOUNT", finished, "-inf", str(until))))
        replies = self._exchange(commands)
        passed = sum(self._places.get(head.queue, 0) for head in heads)
        return sum(reply for reply in replies if isinstance(reply, int)) - passed

    def _queue(self, name: str) -> Queue:
        return Queue(self._keys.for_queue(name))

    def _queues_near(self, key: str) -> list[str]:
        at, names = self._known_names.get(key, (-_NAMES_FOR, []))
        if time.monotonic() - at >= _NAMES_FOR:
            try:
                names = list(self._names(key))
            except ServerError:
                return names
            self._known_names = {key: (time.monotonic(), names)}
        return names

    def _learn(self, key: str, before: Memory, freed: int) -> None:
        """Record whether eviction has lowered the used memory; if not, it is suspended."""
        after = self.memory(key)
        if after is None or not freed:
            return
        if before.used - after.used >= freed / 4:
            self._strikes, self._rest = 0, REST
            return
        self._strikes += 1
        if self._strikes >= STRIKES:
            log.warning(
                "evicting records of finished jobs does not lower the server's memory: something else uses it",
                used=after.used,
                maxmemory=after.limit,
                again_in=self._rest,
            )
            self._give_up(self._rest)
            self._strikes, self._rest = 0, min(self._rest * 2, LONGEST_REST)

    def _give_up(self, seconds: float) -> None:
        self._useless_until = time.monotonic() + seconds

    def _tell(self, records: int) -> None:
        self._removed += records
        now = time.monotonic()
        if self._removed and (now - self._logged_at > _LOG_EVERY or not self._logged_at):
            log.warning(
                "the server's memory is nearly full: evicting records of finished jobs early",
                records=self._removed,
                remedy="raise maxmemory or shorten GOPHER_RESULT_TTL",
            )
            self._removed, self._logged_at = 0, now

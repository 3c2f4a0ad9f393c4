"""Room on a full server: records of finished jobs are removed early, the oldest first, across all queues.

Two ask for it: a call that the server has refused because it is out of memory, before it is sent again; and the
scheduler, which keeps the used memory below a share of `maxmemory` so that no call comes to that.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gopher.errors import ServerError
from gopher.server.calls import Command
from gopher.telemetry.logs import get_logger

from .keys import Keys
from .moves import Queue
from .replies import Evicted

log = get_logger("memory")

#: Share of `maxmemory` from which on the scheduler removes records, and down to which.
FULL, ENOUGH = 0.9, 0.87
#: Seconds for which a record is kept if others can go: longer than a call is repeated, so that a repeat still finds
#: what it has stored. And in any case: whoever waits for a job looks more often.
KEPT, KEPT_IN_ANY_CASE = 3.0, 0.5
#: Records that one script removes, and one refused call at most. The server is busy for 1 to 3 ms with a script.
PIECE, MOST = 500, 20_000
#: Seconds that one pass may take: others wait for it.
LONGEST = 0.25
#: What a refused call frees beyond what is missing, as a share of `maxmemory` and at most (bytes).
SPARE, MOST_SPARE = 0.02, 4 * 2**20
#: Seconds between two looks of the scheduler at a server without `maxmemory`, or that does not tell it.
NO_LIMIT_PERIOD = 15.0
#: Passes that did not lower the used memory until that is taken for useless; seconds until it is tried again.
STRIKES, REST, LONGEST_REST = 3, 1.0, 60.0
#: Passes for one call after which the next ones tell. The first ones may have been used up by other calls, and by the
#: connections that these were sent on.
TELLING = 2
#: Queues whose records are compared with each other in one pass: those with the oldest ones.
_QUEUES = 32
#: Seconds for which the names of the queues, and what was passed over, are remembered; between two lines in the log.
_NAMES_FOR, _PLACES_FOR, _LOG_EVERY = 1.0, 10.0, 60.0


class Memory(NamedTuple):
    """What a server says of its memory, in bytes. `limit` is 0 without a `maxmemory`."""

    used: int
    limit: int
    #: What it needs with nothing in it.
    least: int


def read_memory(reply: Any) -> Memory | None:
    """Return what INFO says; None where it may not be asked, or tells nothing."""
    if not isinstance(reply, bytes):
        return None
    info = dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)
    try:
        # What waits to be written to the file and to replicas counts as used, but not against the limit.
        used = int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))
        return Memory(used, int(info["maxmemory"]), int(info.get("used_memory_startup", 0)))
    except (KeyError, ValueError):
        return None


class _Head(NamedTuple):
    """When the first job in a queue's index has ended, of those that were not passed over (ms)."""

    ended: int
    queue: str


class Evictor:
    """Removes records of finished jobs from one installation's queues. Threads share it.

    `exchange` sends calls to one node and returns what came of each, an error or its reply; `names` are those of the
    queues on the node that holds a key.
    """

    def __init__(
        self, exchange: Callable[[Sequence[Any]], list[Any]], keys: Keys, names: Callable[[str], Sequence[str]]
    ) -> None:
        self._exchange = exchange
        self._keys = keys
        self._names = names
        self._lock = threading.Lock()
        self._known_names: dict[str, tuple[float, list[str]]] = {}
        #: Where to look from in the index of a queue: what was passed over before must stay. Since when.
        self._places: dict[str, int] = {}
        self._places_at = 0.0
        self._made_at = 0.0
        self._strikes = 0
        self._rest = REST
        self._useless_until = 0.0
        self._removed = 0
        self._logged_at = 0.0

    def make_room(self, key: str, passes: int = 0) -> bool:
        """Free memory on the node that holds `key`, which has refused a call; return whether to send that again.

        `passes` is how often room was made for the call before: what it sends takes memory too, so more is made then.
        """
        asked = time.monotonic()
        with self._lock:
            if self._made_at > asked:
                # Another thread has made some while this one waited.
                return True
            if asked < self._useless_until:
                return False
            made = self._make_room(key, passes)
            if made:
                self._made_at = time.monotonic()
            return made

    def keep_below(self, key: str) -> float:
        """Remove records on the node that holds `key` if little memory is left; return seconds until the next look."""
        with self._lock:
            memory = self.memory(key)
            if memory is None or not memory.limit or memory.limit <= memory.least:
                # It does not tell, or has no limit: calls that are refused make room themselves.
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
            # No record is to blame for that.
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
            # They have ended just now: a moment later some may go.
            time.sleep(0.1)
            return True
        self._give_up(0.25)
        return False

    def _free(self, key: str, missing: float, keep_for: float) -> Evicted:
        """Remove records that take up the given bytes: at least one piece of them, at most what one pass may take."""
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
            # Where the server does not tell sizes, a piece is taken and the caller looks again.
            is_over = size >= missing or not size or records >= MOST or time.monotonic() - began > LONGEST
            if (records and is_over) or not (piece.records or piece.place):
                break
        self._tell(records)
        return Evicted(records, size, 0, piece.young)

    def _remove(self, key: str, limit: int, keep_for: float) -> Evicted:
        """Remove the oldest records, `limit` of them or a few more; `place` is how many were passed over."""
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
        """Return the queues with finished jobs, that with the oldest one first."""
        names = self._queues_near(key)
        commands = []
        for name in names:
            finished, place = self._keys.for_queue(name).finished, str(self._places.get(name, 0))
            commands.append(Command(finished, ("ZRANGE", finished, place, place, "WITHSCORES")))
        replies = self._exchange(commands) if commands else []
        heads = zip(names, replies, strict=True)
        return sorted(_Head(int(float(head[1])), name) for name, head in heads if isinstance(head, list) and head)

    def _cut(self, heads: list[_Head], limit: int) -> int:
        """Return until when jobs have ended that make about `limit` records in all queues together."""
        # By the server's clock, of which ours may be far behind.
        latest = max(int(time.time() * 1000), heads[-1].ended) + 60_000
        # Of a queue beyond those that are compared nothing goes, so nothing younger than its oldest may go either.
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
        """Note whether removing has helped: what is not given back to the server need not be removed any more."""
        after = self.memory(key)
        if after is None or not freed:
            return
        if before.used - after.used >= freed / 4:
            self._strikes, self._rest = 0, REST
            return
        self._strikes += 1
        if self._strikes >= STRIKES:
            log.warning(
                "removing records of finished jobs does not lower the server's memory: something else fills it",
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
                "the server's memory is nearly full: records of finished jobs are removed early",
                records=self._removed,
                remedy="raise maxmemory or shorten GOPHER_RESULT_TTL",
            )
            self._removed, self._logged_at = 0, now

"""One call of every script that has something to do, and what the queue looks like afterwards.

`SEEDS` has one entry a verb: it puts a queue into a state in which the call does something, and returns the call.
A new script without an entry is a test that fails.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_id
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.arguments import Completion, Failure
from gopher.queue.invariants import findings
from gopher.queue.keys import QueueKeys
from gopher.queue.moves import SERIES, Queue
from gopher.queue.reading_moves import Text
from gopher.queue.replies import FetchedJob
from gopher.queue.store import Server
from gopher.server.calls import Call
from tests.faults import batch_calls
from tests.helpers import wait_until

_names = count(1)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ROW = b'{"attempt":1,"outcome":"failed"}'
#: Answers that would have a worker throw away what it has.
REFUSALS = frozenset({"STALE", "MISSING", "LOST", "MISMATCH"})


class Stage:
    """A queue of its own, on a server that is reached directly, with a worker `w` that holds a lease."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.queue: Queue = server.queue(f"q{next(_names)}")
        self.run(self.queue.heartbeat("w", 60.0, first=True))

    def run(self, call: Call) -> Any:
        return self.server.run(call)

    def put(self, jobs: int = 1, **fields: Any) -> list[str]:
        made = [NewJob(new_job_id(), "t", b"{}", **fields) for _ in range(jobs)]
        self.run(self.queue.enqueue(made))
        return [job.id for job in made]

    def fetched(self, worker: str = "w") -> FetchedJob:
        self.put()
        return self.run(self.queue.fetch(worker, 1, 1, "hnl", strict=True)).jobs[0]

    def failed(self) -> str:
        job = self.fetched()
        self.run(self.queue.dead_letter("w", _failure(job), "E"))
        return job.id

    def scheduled(self) -> tuple[bytes, int]:
        definition = ScheduleSpec(cron_expression="* * * * *", type="t", payload=msgspec.Raw(b"{}")).definition()
        self.run(self.queue.set_schedule("s", definition, 1000))
        return definition, 1000

    def wipe(self) -> None:
        client = self.server.client
        if keys := list(client.scan_iter(match=self.queue.keys.prefix + "*", count=1000)):
            client.delete(*keys)


def _failure(job: FetchedJob) -> Failure:
    return Failure(job.id, job.token, 5.0, b'{"type":"E"}', _ROW, b"", "")


def _enqueue(stage: Stage) -> Call:
    return stage.queue.enqueue([NewJob(new_job_id(), "t", b"{}"), NewJob(new_job_id(), "t", b"{}", due="+60000")])


def _fetch(stage: Stage) -> Call:
    stage.put(3)
    return stage.queue.fetch("w", 2, 1, "hnl", strict=True)


def _complete(stage: Stage) -> Call:
    job = stage.fetched()
    return stage.queue.complete("w", [Completion(job.id, job.token, 5.0, b"{}", b"")])


def _held(make: Callable[[Queue, FetchedJob], Call]) -> Callable[[Stage], Call]:
    def seed(stage: Stage) -> Call:
        return make(stage.queue, stage.fetched())

    return seed


def _cancelled(stage: Stage) -> Call:
    job = stage.fetched()
    stage.run(stage.queue.cancel(job.id))
    return stage.queue.cancelled("w", job.id, job.token, _ROW, b"")


def _heartbeat(stage: Stage) -> Call:
    job = stage.fetched()
    stage.run(stage.queue.cancel(job.id))
    return stage.queue.heartbeat("w", 60.0)


def _promote(stage: Stage) -> Call:
    stage.put(2, due="+1")
    while not stage.server.client.zcount(stage.queue.keys.scheduled, "-inf", f"({_now(stage)}"):
        pass
    return stage.queue.promote()


def _rescue(stage: Stage) -> Call:
    stage.run(stage.queue.heartbeat("lost", 0.0, first=True))
    stage.run(stage.queue.heartbeat("lost", 60.0, first=True))
    stage.fetched("lost")
    stage.run(stage.queue.heartbeat("lost", -1.0))
    return stage.queue.rescue(None, 0.0)


def _reclaim(stage: Stage) -> Call:
    stage.fetched()
    return stage.queue.reclaim("w", [], 1000, 1000)


def _tick(stage: Stage) -> Call:
    definition, expected = stage.scheduled()
    return stage.queue.tick("s", definition, expected, 2000, [NewJob(new_job_id(), "t", b"{}")])


def _due_ticks(stage: Stage) -> Call:
    stage.scheduled()
    return stage.queue.due_ticks()


def _prune(stage: Stage) -> Call:
    stage.failed(), stage.failed()
    return stage.queue.prune(0, 3600.0, 1)


def _evict(stage: Stage) -> Call:
    job = stage.fetched()
    stage.run(stage.queue.complete("w", [Completion(job.id, job.token, 5.0, b"{}", b"")]))
    return stage.queue.evict(1, 0, 2 * _now(stage), 0.0)


def _resumed(stage: Stage) -> Call:
    stage.put()
    stage.run(stage.queue.pause())
    return stage.queue.resume()


def _delete_schedule(stage: Stage) -> Call:
    stage.scheduled()
    return stage.queue.delete_schedule("s")


def _withdraw(stage: Stage) -> Call:
    stage.run(stage.queue.set_limit("t", 1.0, 1.0, 1, origin="handler"))
    stage.run(stage.queue.announce(["limit:t"]))
    return stage.queue.withdraw("limit", "t", 0.0)


def _redrive_begun(stage: Stage) -> str:
    stage.failed()
    stage.run(stage.queue.start_redrive("r", [], canary=1))
    return "r"


_FIELDS = [b"type", b"t", b"priority", b"normal", b"state", b"pending", b"envelope", b"{}"]


def _cancellation_begun(stage: Stage) -> str:
    stage.put(3)
    stage.run(stage.queue.start_cancellation("c", ["pending"]))
    return "c"


def _continue_cancellations(stage: Stage) -> Call:
    _cancellation_begun(stage)
    return stage.queue.continue_cancellations()


def _continue_redrives(stage: Stage) -> Call:
    _redrive_begun(stage)
    return stage.queue.continue_redrives()


def _sample(stage: Stage) -> Call:
    period = SERIES[0][0]
    # A repeat in the next period takes the next sample, and on a busy machine it may come late.
    wait_until(lambda: _now(stage) % period < period - 2000)
    return stage.queue.sample()


def _forget(stage: Stage) -> Call:
    stage.run(stage.queue.purge(stage.put(2) and "pending"))
    stage.run(stage.queue.resign("w"))
    stage.server.client.delete(stage.queue.keys.fenced)
    return stage.queue.forget()


def _command(stage: Stage) -> Call:
    stage.run(stage.queue.heartbeat("w", 60.0, first=True))
    return stage.queue.command("w", "stop")


SEEDS: dict[str, Callable[[Stage], Call]] = {
    **batch_calls.SEEDS,
    "announce": lambda stage: stage.queue.announce(["limit:t"]),
    "arrive": lambda stage: stage.queue.arrive([("m", new_job_id(), "pending", "", _FIELDS)]),
    "bisect": lambda stage: stage.queue.bisect("pending:normal", len(stage.put(2))),
    "cancel": lambda stage: stage.queue.cancel(stage.put(2)[0]),
    "cancelled": _cancelled,
    "command": _command,
    "complete": _complete,
    "continue_cancellations": _continue_cancellations,
    "continue_redrives": _continue_redrives,
    "dead_letter": _held(lambda queue, job: queue.dead_letter("w", _failure(job), "E")),
    "delete_schedule": _delete_schedule,
    "depart": lambda stage: stage.queue.depart(stage.put(2)[1], "other", "m"),
    "discard": lambda stage: stage.queue.discard([stage.failed()]),
    "due_ticks": _due_ticks,
    "enqueue": _enqueue,
    "fetch": _fetch,
    "forget": _forget,
    "heartbeat": _heartbeat,
    "hold": _held(lambda queue, job: queue.hold(job.id, job.token, "1024 1")),
    "throttle": _held(lambda queue, job: queue.throttle("w", job.id, job.token, 60.0)),
    "find_texts": lambda stage: stage.queue.find_texts(stage.put(2), [Text("envelope", "payload")]),
    "read_fields": lambda stage: stage.queue.read_fields(stage.put(2), ["state"]),
    "tenant_lengths": lambda stage: stage.queue.tenant_lengths("normal", range(len(stage.put(2, tenant="t")))),
    "read_groups": lambda stage: stage.queue.read_groups(stage.failed() and 10),
    "note_copy": lambda stage: stage.queue.note_copy(stage.put()[0], new_job_id()),
    "note_frozen": _held(lambda queue, job: queue.note_frozen(job.id, job.token, 0.0, is_frozen=True)),
    "release": lambda stage: stage.queue.release("work"),
    "pause": lambda stage: stage.queue.pause(),
    "promote": _promote,
    "prune": _prune,
    "purge": lambda stage: stage.queue.purge(stage.put(2) and "pending"),
    "reclaim": _reclaim,
    "evict": _evict,
    "redrive": lambda stage: stage.queue.redrive([stage.failed()]),
    "report": _held(lambda queue, job: queue.report([(job.id, job.token, b"{}", b"[]")])),
    "requeue": _held(lambda queue, job: queue.requeue("w", job.id, job.token)),
    "rescue": _rescue,
    "resign": lambda stage: stage.queue.resign("w"),
    "resume": _resumed,
    "retry": _held(lambda queue, job: queue.retry("w", _failure(job), 60.0)),
    "run_now": lambda stage: stage.queue.run_now(stage.put(due="+60000")[0]),
    "sample": _sample,
    "set_limit": lambda stage: stage.queue.set_limit("t", 1.0, 1.0, 1),
    "set_priority": lambda stage: stage.queue.set_priority(stage.put(2)[1], "high"),
    "set_schedule": lambda stage: stage.queue.set_schedule("s", b"{}", 1000),
    "set_tenant": lambda stage: stage.queue.set_tenant("t", 3, 1.0, 1.0, 1),
    "start_cancellation": lambda stage: stage.queue.start_cancellation("c", stage.put(2) and ["pending"]),
    "start_redrive": lambda stage: stage.queue.start_redrive("r", stage.failed() and [], canary=1),
    "stop_cancellation": lambda stage: stage.queue.stop_cancellation(_cancellation_begun(stage)),
    "stop_redrive": lambda stage: stage.queue.stop_redrive(_redrive_begun(stage)),
    "subscribe": lambda stage: stage.queue.subscribe(1, {"t": ",failed,"}),
    "survey": lambda stage: stage.queue.survey(),
    "tick": _tick,
    "withdraw": _withdraw,
}


def picture(server: Server, keys: QueueKeys) -> dict[str, Any]:
    """Return what a queue holds, without what differs from run to run: ids, times, durations."""
    client, seen = server.client, Counter[str]()
    found = sorted(set(client.scan_iter(match=keys.prefix + "*", count=1000)))
    shorts = [_ID.sub("<id>", raw.decode().removeprefix(keys.prefix)) for raw in found]
    # In two round trips: there are thousands of pictures.
    pipe = client.pipeline(transaction=False)
    for raw in found:
        pipe.type(raw)
    kinds = [kind.decode() for kind in pipe.execute()]
    for raw, short, kind in zip(found, shorts, kinds, strict=True):
        _look(pipe, raw, short, kind)
    for short, kind, value in zip(shorts, kinds, pipe.execute(), strict=True):
        if short.startswith("latencies:"):
            counts = {field: int(count) for field, count in value.items() if b"sum" not in field}
            seen[f"{short} {sum(counts.values())}"] += 1
        elif short == "job:<id>":
            record = value
            fields = {name.decode() for name in record}
            told = [record.get(field, b"").decode() for field in (b"state", b"attempts", b"lost", b"crashes")]
            seen[json.dumps([short, sorted(fields), *told])] += 1
        else:
            seen[f"{short} {kind} {int(value)}"] += 1
    return {
        "keys": dict(seen),
        "totals": {field.decode(): int(value) for field, value in client.hgetall(keys.totals).items()},
        "findings": findings(client, keys),
    }


def _look(pipe: Any, key: bytes, short: str, kind: str) -> None:
    """Read a key as a whole where its content counts, else its size."""
    measure = {"list": pipe.llen, "zset": pipe.zcard, "hash": pipe.hlen, "set": pipe.scard}
    whole = short == "job:<id>" or short.startswith("latencies:")
    (pipe.hgetall if whole else measure.get(kind, pipe.exists))(key)


def _now(stage: Stage) -> int:
    seconds, microseconds = stage.server.client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def direct(url: str) -> Client:
    return Client(url, namespace="cut", connections=4)

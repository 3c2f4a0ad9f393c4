"""One queue whose clock the test sets: what goes in, what the scripts make of it, and what stands where."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from gopher.jobs.job import NewJob, new_job_id
from gopher.queue import scripts
from gopher.queue.arguments import Completion, Failure
from gopher.queue.moves import Queue
from gopher.queue.replies import Fetched, FetchedJob
from gopher.queue.store import Server
from gopher.server.calls import Call, Script
from tests.invariants.lab import CLOCK, START

LEASE = 10.0
ERROR = b'{"type":"ValueError","message":"it broke"}'
ROW = b'{"attempt":1,"outcome":"failed"}'
#: One cycle of the weights 5:3:1.
CYCLE = "hnhlhnhnh"


def failure(job: FetchedJob, *, log: bytes = b"", crash: str = "") -> Failure:
    return Failure(job.id, job.token, 12.0, ERROR, ROW, log, crash)


class ClockedQueue(Queue):
    """The moves of a queue by the clock that stands in a key of it."""

    def _make(self, verb: str, arguments: Sequence[Any], read: Any) -> Call:
        return Call(clocked(verb), self.keys.prefix, tuple(arguments), read)


class Lab:
    """A queue, its clock (ms), and workers that do what a test says."""

    def __init__(self, server: Server, name: str = "default") -> None:
        self.server = server
        self.redis = server.client
        self.queue = ClockedQueue(server.keys.for_queue(name))
        self.keys = self.queue.keys
        self.now = START
        self._numbers: dict[str, int] = {}
        self.set_clock(START)

    def set_clock(self, now: int) -> None:
        self.now = now
        self.redis.set(self.keys.prefix + "clock", now)

    def pass_time(self, seconds: float) -> None:
        self.set_clock(self.now + round(seconds * 1000))

    def run(self, call: Call) -> Any:
        return self.server.run(call)

    def run_twice(self, call: Call) -> tuple[Any, Any]:
        """Run a call, then the same again: return both replies, having seen that the repeat changes nothing."""
        first = self.run(call)
        before = self.everything()
        second = self.run(call)
        after = self.everything()
        assert after == before
        return first, second

    # Jobs come in

    def enqueue(self, job_type: str = "email", **options: Any) -> str:
        job = new_job(job_type, **options)
        reply = self.run(self.queue.enqueue([job]))
        assert reply.answers == ["NEW"]
        return job.id

    def seed_pending(self, count: int, **options: Any) -> list[str]:
        """Store jobs in one call; return their ids from the head of the queue on."""
        jobs = [new_job(**options) for _ in range(count)]
        for start in range(0, count, 1000):
            self.run(self.queue.enqueue(jobs[start : start + 1000]))
        return [job.id for job in jobs]

    def seed_processing(self, worker: str = "w1", **options: Any) -> FetchedJob:
        job_id = self.enqueue(**options)
        self.hire(worker)
        (job,) = self.fetch(worker)
        assert job.id == job_id
        return job

    def seed_retrying(self, delay: float = 60.0, **options: Any) -> str:
        job = self.seed_processing(**options)
        assert self.run(self.queue.retry("w1", failure(job), delay)) == "OK"
        return job.id

    def seed_failed(self, place: str = "", **options: Any) -> str:
        job = self.seed_processing(**options)
        assert self.run(self.queue.dead_letter("w1", failure(job), "ValueError", place)) == "OK"
        return job.id

    def seed_completed(self, **options: Any) -> str:
        job = self.seed_processing(**options)
        assert self.complete(job) == "OK"
        return job.id

    # Batches

    def open_batch(self, *events: str, retention: float = 600.0) -> str:
        """Create a batch with callbacks for some events; return its id."""
        fields = {f"{what}_{event}": f"{what} {event}" for event in events for what in ("on", "queue")}
        batch_id = new_job_id()
        fields = {name: "reports" if name.startswith("queue") else value for name, value in fields.items()}
        assert self.run(self.queue.create_batch(batch_id, retention, {"name": "import", **fields})) == "CREATED"
        return batch_id

    def join(self, batch_id: str, count: int, queue: str = "default") -> list[str]:
        """Announce jobs to a batch, which are not stored; return their ids."""
        ids = [new_job_id() for _ in range(count)]
        assert self.run(self.queue.join_batch(batch_id, [(job_id, queue, "email") for job_id in ids])) == ("OK", [])
        return ids

    def count(self, batch_id: str, *ends: tuple[str, str, int], origin: str = "default") -> int:
        """Count ends of jobs, (id, state, round), and return how many were news."""
        return self.run(self.queue.count_jobs((batch_id, *end, origin) for end in ends)).news

    def counts(self, batch_id: str) -> dict[str, int]:
        """Return how many jobs of a batch are in which state, as counted in all and by type."""
        record = self.batch(batch_id)
        found = {name[2:]: int(value) for name, value in record.items() if name.startswith("n:") and value != "0"}
        by_type = {
            name.split(":")[2]: int(value) for name, value in record.items() if name.startswith("t:") and value != "0"
        }
        assert by_type == found
        return found

    def batch(self, batch_id: str) -> dict[str, str]:
        found = self.redis.hgetall(self.keys.batch(batch_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    def posted(self, to: str) -> list[list[Any]]:
        """Return the entries of the outbox for a queue, whether they are due or not."""
        return [msgspec.msgpack.decode(each) for each in self.redis.lrange(self.keys.outbox(to), 0, -1)]

    # Workers

    def hire(self, worker: str = "w1", lease: float = LEASE) -> None:
        self.run(self.queue.heartbeat(worker, lease, first=True))

    def fetch_call(self, worker: str = "w1", want: int = 1, order: str = "hnl", *, strict: bool = True) -> Call:
        return self.queue.fetch(worker, want, self._numbers.get(worker, 1), order, strict=strict)

    def fetch(self, worker: str = "w1", want: int = 1, order: str = "hnl", *, strict: bool = True) -> list[FetchedJob]:
        fetched = self.run(self.fetch_call(worker, want, order, strict=strict))
        assert not fetched.lost
        self.took(worker, fetched)
        return fetched.jobs

    def took(self, worker: str, fetched: Fetched) -> None:
        """Note the number of a worker's next token, as it does itself."""
        self._numbers[worker] = max(self._numbers.get(worker, 1), fetched.next_number)

    def hand_over(self, worker: str = "w1") -> str:
        """Deliver the next job to a worker as its BRPOPLPUSH does; return its id."""
        job_id = self.redis.brpoplpush(self.keys.next, self.keys.processing(worker), 1)
        assert job_id is not None
        return job_id.decode()

    def complete(self, job: FetchedJob, worker: str = "w1", result: bytes = b"1", log: bytes = b"") -> str:
        (answer,) = self.run(self.queue.complete(worker, [Completion(job.id, job.token, 12.5, result, log)]))
        return answer

    def lose(self, worker: str = "w1") -> Any:
        """Let a worker's lease run out and rescue what it held."""
        self.pass_time(LEASE + 0.001)
        return self.run(self.queue.rescue(None, 0.0))

    # Looking

    def record(self, job_id: str) -> dict[str, str]:
        found = self.redis.hgetall(self.keys.job(job_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    def state(self, job_id: str) -> str | None:
        return self.record(job_id).get("state")

    def standing(self, place: str) -> list[str]:
        """Return the ids in a place: a list from its head on, a sorted set from its least score on."""
        key = self.keys.prefix + place
        if self.redis.type(key) == b"zset":
            return [member.decode() for member in self.redis.zrange(key, 0, -1)]
        return [item.decode() for item in reversed(self.redis.lrange(key, 0, -1))]

    def scores(self, place: str) -> dict[str, int]:
        found = self.redis.zrange(self.keys.prefix + place, 0, -1, withscores=True)
        return {member.decode(): int(score) for member, score in found}

    def groups(self) -> dict[str, list[str]]:
        """Return the ids of the dead letters by the name of their group: type, class of the error, place."""
        names = self.redis.hgetall(self.keys.group_names)
        return {name.decode(): self.standing(f"group:{group.decode()}") for group, name in names.items()}

    def redrive(self, redrive_id: str) -> dict[str, str]:
        found = self.redis.hgetall(self.keys.redrive(redrive_id))
        return {name.decode(): value.decode() for name, value in found.items()}

    def totals(self) -> dict[str, int]:
        return {name.decode(): int(value) for name, value in self.redis.hgetall(self.keys.totals).items()}

    def tombstones(self) -> dict[str, int]:
        return {name.decode(): int(value) for name, value in self.redis.hgetall(self.keys.tombstones).items()}

    def alarm(self) -> int | None:
        """Return the due time that a sleeping scheduler was woken for."""
        due = self.redis.lindex(self.keys.alarm, 0)
        return None if due is None else int(due)

    def history(self, job_id: str) -> list[dict[str, Any]]:
        return json.loads(f"[{self.record(job_id).get('history', '')}]")

    def everything(self) -> dict[str, Any]:
        """Return every key of the queue with what it holds."""
        found = {}
        read = {
            b"string": self.redis.get,
            b"hash": self.redis.hgetall,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"set": self.redis.smembers,
            b"zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
        }
        for key in self.redis.scan_iter(match=self.keys.prefix + "*", count=10_000):
            found[key.decode().removeprefix(self.keys.prefix)] = read[self.redis.type(key)](key)
        return found

    def dump(self) -> dict[bytes, bytes]:
        """Return all that is stored, as `put_back` takes it."""
        return {key: self.redis.dump(key) for key in self.redis.scan_iter(count=10_000)}

    def put_back(self, dumped: dict[bytes, bytes]) -> None:
        self.redis.flushdb()
        for key, value in dumped.items():
            self.redis.restore(key, 0, value)


@cache
def clocked(verb: str) -> Script:
    return scripts.build(verb, scripts.read(verb), {"clock": CLOCK})


def new_job(job_type: str = "email", **options: Any) -> NewJob:
    return NewJob(new_job_id(), job_type, options.pop("envelope", b'{"payload":{}}'), **options)

"""A load of everything that processes of two releases have to agree on, and what became of it.

Each submission goes to one API and most of them again to another: with the same Idempotency-Key or the same unique key.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from gopher.base.states import ENDED
from gopher.jobs.job import created_ms
from tests.faults.ledger import Entry
from tests.helpers import wait_until
from tests.topologies.fleet import QUEUES, Fleet

#: Seconds for which one request is repeated.
PATIENCE = 120.0
#: Children of one job: more than its record used to name, fewer than it names.
CHILDREN = 12
#: Seconds for which a job has its unique key: as a rule long enough for both repeats.
UNIQUE_FOR = 3
SCHEDULE = "every-second"


@dataclass
class Findings:
    """What was wrong. All lists are empty if nothing was."""

    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    #: Jobs that started more often than they should.
    doubled: list[str] = field(default_factory=list)
    #: Submissions that were stored twice, or answered with another job.
    strange: list[str] = field(default_factory=list)
    #: Children that started before a parent had ended.
    early: list[str] = field(default_factory=list)
    #: Times of the schedule without a job, or with two.
    ticks: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not any((self.lost, self.unfinished, self.doubled, self.strange, self.early, self.ticks))


class MixedLoad:
    """Submits from several threads until it is stopped. A context manager."""

    def __init__(self, fleet: Fleet, *, threads: int = 3, pause: float = 0.03) -> None:
        self._fleet, self._pause = fleet, pause
        self._name = uuid4().hex[:6]
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(threads)]
        #: Id -> its queue and the ids that it waits for.
        self.jobs: dict[str, tuple[str, Sequence[str]]] = {}
        self.strange: list[str] = []
        #: Jobs that were submitted with the unique key of another one after its time.
        self._late: set[str] = set()
        self.schedule: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> "MixedLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        choose = random.Random(seed)
        kinds: list[Callable[[Requests], None]] = [
            self._single,
            self._family,
            self._unique,
            self._delayed,
            self._retried,
        ]
        with httpx.Client(timeout=30) as http:
            for number in self._numbers:
                if self._stopped.is_set():
                    return
                requests = Requests(self._fleet, http, choose, f"{self._name}-{number}", self.strange)
                kinds[number % len(kinds)](requests)
                time.sleep(self._pause)

    def _note(self, job: dict[str, Any], parents: Sequence[str] = ()) -> None:
        with self._lock:
            self.jobs[job["job_id"]] = (job["queue"], parents)

    def _single(self, requests: "Requests") -> None:
        first, again = requests.twice("/api/v1/jobs", requests.job())
        self._note(first)
        requests.expect(again["job_id"] == first["job_id"], first, again)

    def _delayed(self, requests: "Requests") -> None:
        self._note(requests.once("/api/v1/jobs", requests.job(delay="0.3s", retry_for="1h", expires_in="1h")))

    def _retried(self, requests: "Requests") -> None:
        self._note(requests.once("/api/v1/jobs", requests.job(type="faults.stumble", payload={"how": "retry"})))

    def _family(self, requests: "Requests") -> None:
        """A job, those that wait for it, one that waits for them all, and one that comes later."""
        queue = requests.queue
        family = [requests.job(f"{requests.number}-parent", queue=queue, delay="0.3s")]
        family += [requests.job(f"{requests.number}-{at}", queue=queue, after=[0]) for at in range(CHILDREN)]
        family += [requests.job(f"{requests.number}-last", queue=queue, after=list(range(1, CHILDREN + 1)))]
        first, again = (found["jobs"] for found in requests.twice("/api/v1/jobs/batch", {"jobs": family}))
        requests.expect([job["job_id"] for job in first] == [job["job_id"] for job in again], first, again)
        parent, *children, last = first
        self._note(parent)
        for child in children:
            self._note(child, [parent["job_id"]])
        self._note(last, [child["job_id"] for child in children])
        late = requests.job(f"{requests.number}-late", queue=queue, after=[last["job_id"]])
        self._note(requests.once("/api/v1/jobs", late), [last["job_id"]])

    def _unique(self, requests: "Requests") -> None:
        job = requests.job(queue="default", delay=f"{UNIQUE_FOR}s", unique_key=f"unique-{requests.number}")
        began = time.monotonic()
        first = requests.once("/api/v1/jobs", job)
        self._note(first)
        for _ in range(2):
            again = requests.once("/api/v1/jobs", {**job, "payload": {"number": "again"}}, other=True)
            if time.monotonic() > began + UNIQUE_FOR:
                # The machine is so busy that the first one may have ended: this may be a job of its own.
                self._note(again)
                self._late.add(again["job_id"])
                return
            requests.expect(again["job_id"] == first["job_id"] and again.get("duplicate"), first, again)

    # What became of it

    def findings(self, timeout: float = 120.0) -> Findings:
        """Wait until all jobs have ended, and compare them with what the handlers have noted."""
        found = Findings(accepted=len(self.jobs), strange=self.strange)
        left = dict(self.jobs)
        states: dict[str, str | None] = {}

        def ended() -> bool:
            for job_id, (queue, _) in list(left.items()):
                states[job_id] = self._fleet.client.inspector.state(queue, job_id)
                if states[job_id] in (None, *ENDED):
                    del left[job_id]
            return not left

        try:
            wait_until(ended, timeout)
        except AssertionError:
            found.unfinished = [f"{job_id} {states[job_id]}" for job_id in left]
        found.lost = [
            job_id for job_id, state in states.items() if state is None or state in set(ENDED) - {"completed"}
        ]
        # The schedule goes on: of two of its jobs, the later one may start first.
        with suppress(AssertionError):
            wait_until(lambda: not _ticks_of(self._fleet.events()), 30)
        self._count(found, self._fleet.events())
        return found

    def _count(self, found: Findings, events: Sequence[Entry]) -> None:
        starts = Counter(entry.job_id for entry in events if entry.event == "start")
        began = {entry.job_id: entry.at for entry in reversed(events) if entry.event == "start"}
        ends = {entry.job_id: entry.at for entry in events if entry.event == "end"}
        stumbled = {entry.job_id for entry in events if entry.event == "start" and entry.number == "-"}
        for job_id, count in starts.items():
            if count > (2 if job_id in stumbled else 1):
                found.doubled.append(f"{job_id} {count}")
        numbers = {(entry.number, entry.job_id) for entry in events if entry.number not in ("-", "again", SCHEDULE)}
        twice = Counter(number for number, _ in numbers)
        found.strange += [f"{number} is {count} jobs" for number, count in twice.items() if count > 1]
        found.strange += [
            "a duplicate ran" for entry in events if entry.number == "again" and entry.job_id not in self._late
        ]
        for job_id, (_, parents) in self.jobs.items():
            found.early += [job_id for each in parents if ends.get(each, 1e12) > began.get(job_id, 1e13)]
        found.ticks = _ticks_of(events)


def _ticks_of(events: Sequence[Entry]) -> list[str]:
    """Return which seconds between the first and the last one have no job of the schedule, or more than one."""
    times = [created_ms(entry.job_id) for entry in events if (entry.number, entry.event) == (SCHEDULE, "start")]
    counts = Counter(time_ms // 1000 for time_ms in times)
    if not counts:
        return ["the schedule never fired"]
    return [f"{second}: {counts[second]}" for second in range(min(counts), max(counts) + 1) if counts[second] != 1]


class Requests:
    """The requests of one submission: to any API, and repeated, perhaps to another one, until they are answered."""

    def __init__(
        self, fleet: Fleet, http: httpx.Client, choose: random.Random, number: str, strange: list[str]
    ) -> None:
        self._fleet, self._http, self._choose, self.number, self._strange = fleet, http, choose, number, strange
        self.queue = choose.choice(QUEUES)
        self._last = ""

    def job(self, number: str = "", **fields: Any) -> dict[str, Any]:
        return {"type": "faults.work", "payload": {"number": number or self.number}, "queue": self.queue, **fields}

    def once(self, path: str, body: dict[str, Any], *, key: str = "", other: bool = False) -> dict[str, Any]:
        """Send a request until it is answered; to another API than the last one, if there is one."""
        headers = {"Idempotency-Key": key or uuid4().hex}
        until = time.monotonic() + PATIENCE
        while True:
            addresses = self._fleet.addresses()
            address = self._choose.choice([each for each in addresses if not other or each != self._last] or addresses)
            try:
                answer = self._http.post(f"{address}{path}", json=body, headers=headers)
            except httpx.TransportError as error:
                problem = str(error)
            else:
                if answer.status_code < 300:
                    self._last = address
                    return answer.json()
                problem = answer.text
                if answer.status_code < 500:
                    self._strange.append(f"{self.number}: {problem}")
                    raise AssertionError(problem)
            assert time.monotonic() < until, problem
            time.sleep(0.1)

    def twice(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send a request, and again with the same Idempotency-Key to another API."""
        return self.once(path, body, key=self.number), self.once(path, body, key=self.number, other=True)

    def expect(self, right: object, *seen: object) -> None:
        if not right:
            self._strange.append(f"{self.number}: {seen}")

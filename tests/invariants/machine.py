"""The state machine: any sequence of moves, crashes, zombies and repeats, the invariants after each step.

It does not care how a move is made, only for what must never be: a job in two places or none, a result accepted
twice or from a worker that lost the job, a repeat that changes something.
"""

from dataclasses import dataclass, field
from itertools import count, product
from typing import Any

import msgspec
from gopher.worker.queue_side.priority_cycle import smooth_cycle
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gopher.base.priorities import PRIORITIES, STRICT_ORDER, TURNS
from gopher.base.states import ENDED, PURGEABLE, TIMED
from gopher.jobs.job import NewJob
from gopher.queue.arguments import Completion, Failure
from gopher.queue.bounds import Bounds
from gopher.queue.invariants import findings
from gopher.queue.replies import Fetched, FetchedJob
from gopher.queue.store import Server

from .lab import START, LabQueue

LEASE = 10.0
#: The turns of a worker.
CYCLE = smooth_cycle(TURNS)
#: Jobs that may come to an idle worker, and what may happen before it is given them.
#: Of limited jobs, one after the other.
LIMIT_KEYS = ("", "x", "y")
KINDS = ["plain", "limited", "expires", "child", "of many"]
MEANWHILE = ["", "cancel", "late", "lost", "more"]
_names = count()


@dataclass
class Worker:
    """A worker as the machine plays it."""

    id: str
    number: int = 1
    holds: list[FetchedJob] = field(default_factory=list)
    #: Of its last blocking pop, and of those whose replies never came.
    bell: int = 0
    lost_pops: list[int] = field(default_factory=list)


class Moves(RuleBasedStateMachine):
    """Make a subclass with `server`, which is emptied after each run."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.queue = LabQueue(self.server.keys.for_queue(f"q{next(_names)}"))
        self.keys = self.queue.keys
        #: Ids are the same whenever the same moves are made: what is equally old is ordered by them.
        self._numbers = count(1)
        self.now = START
        self.workers: list[Worker] = []
        self.zombies: list[tuple[str, FetchedJob]] = []
        self.jobs: list[NewJob] = []
        #: Jobs that were dead letters: who came after their death is no reader of what they bring later.
        self.redriven: set[str] = set()
        #: Jobs that were replaced -> the id of the submission whose payload they have now.
        self.latest: dict[str, str] = {}
        self.accepted: dict[str, int] = {}
        #: Jobs that were dead letters: who came after their death is no reader of what they bring later.
        self.redriven: set[str] = set()
        self.tokens: set[str] = set()
        #: Calls whose repeat may still be on its way: the job that each is about, and the call.
        self.sent: list[tuple[str, Any]] = []
        #: Since the clock was set back nothing can be said of when a job was due.
        self.set_back = False

    def new_id(self) -> str:
        return f"00000000-0000-7000-8000-{next(self._numbers):012x}"

    def run_call(self, call: Any) -> Any:
        return self.server.run(call)

    @initialize()
    def begin(self) -> None:
        self.tick(0)
        self.hire()

    def tick(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.server.client.set(self.keys.prefix + "clock", self.now)

    def teardown(self) -> None:
        self.server.client.flushdb()

    # Coming in

    @rule(
        priorities=st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=4),
        due=st.sampled_from(["", "", "", "+5000"]),
        expires=st.sampled_from(["", "", "+7000"]),
        retention=st.sampled_from([None, None, 0]),
        unique=st.sampled_from(["", "", "k", "l"]),
        parents=st.sampled_from([0, 0, 1, 2, 3, 3]),
        on_parent_failure=st.sampled_from(["fail", "run"]),
        job_type=st.sampled_from(["a", "b", "limited"]),
        owner=st.sampled_from(["", "ann"]),
        tenant=st.sampled_from(["", "", "t", "u", "v"]),
    )
    def enqueue(
        self,
        priorities: list[str],
        due: str,
        expires: str,
        retention: float | None,
        unique: str,
        parents: int,
        on_parent_failure: str,
        job_type: str,
        owner: str = "",
        tenant: str = "",
    ) -> None:
        after = self.parents(parents)
        new = [
            NewJob(
                id=(job_id := self.new_id()),
                type=job_type,
                envelope=envelope_of(job_id),
                priority=priority,
                due=due,
                expires=expires,
                retention=retention,
                unique_key=unique,
                limit_key=LIMIT_KEYS[len(self.jobs) % len(LIMIT_KEYS)] if job_type == "limited" else "",
                after=after,
                on_parent_failure=on_parent_failure,
                owner=owner,
                tenant=tenant,
            )
            for priority in priorities
        ]
        # The jobs of an owner are counted. None is refused here.
        bounds = Bounds("all", "", owner, "1000") if owner else None
        reply = self.run_call(self.queue.enqueue(new, bounds=bounds))
        assert reply.kind == "OK"
        stored = [job for job, answer in zip(new, reply.answers, strict=True) if answer == "NEW"]
        self.jobs += stored
        names = {job.id: job.unique_name for job in self.jobs}
        for job, answer in zip(new, reply.answers, strict=True):
            assert answer == "NEW" or names[answer.split(" ")[0]] == job.unique_name, "a job stood for another's"
        self.sent += [(job.id, self.queue.enqueue([job])) for job in stored if retention is None]
        if stored and not unique:
            again = self.run_call(self.queue.enqueue(new))
            assert set(again.answers) == {"DUPLICATE"}, "a repeat stored a job again"

    @rule(
        due=st.sampled_from(["", "+5000"]),
        max_wait=st.sampled_from([None, 6.0]),
        unique=st.sampled_from(["k", "l"]),
        priority=st.sampled_from(PRIORITIES),
        job_type=st.sampled_from(["a", "b", "limited"]),
    )
    def debounce(self, due: str, max_wait: float | None, unique: str, priority: str, job_type: str) -> None:
        job = NewJob(
            id=(job_id := self.new_id()),
            type=job_type,
            envelope=envelope_of(job_id),
            priority=priority,
            due=due,
            unique_key=unique,
            unique_mode="replace",
            max_wait=max_wait,
        )
        call = self.queue.enqueue([job])
        (answer,) = self.run_call(call).answers
        if answer == "NEW":
            self.jobs.append(job)
            return
        holder, state, _, what = answer.split(" ")
        assert (what, state in ("pending", "scheduled")) == ("replaced", True), "a job that runs was replaced"
        self.latest[holder] = job_id
        assert self.run_call(call).answers == [answer], "a repeat replaced a job again"

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_batch_has_one_that_was_sent_before(self, data: Any) -> None:
        job_id, _ = data.draw(st.sampled_from(self.sent))
        known = next(job for job in self.jobs if job.id == job_id)
        before = self.server.client.hgetall(self.keys.job(job_id))
        if not before:
            return
        first, last = (self.like(known) for _ in range(2))
        reply = self.run_call(self.queue.enqueue([first, known, last]))
        assert reply.answers == ["NEW", "DUPLICATE", "NEW"], "a job among new ones was stored again"
        assert self.server.client.hgetall(self.keys.job(job_id)) == before, "a job among new ones was changed"
        self.jobs += [first, last]

    def like(self, job: NewJob) -> NewJob:
        """Return a further job of the same kind, which waits for no other."""
        job_id = self.new_id()
        return msgspec.structs.replace(job, id=job_id, envelope=envelope_of(job_id), unique_key="", after=())

    def parents(self, count: int) -> tuple[str, ...]:
        """Return the last one or two jobs; for three, the last and a dead letter. Where there are such."""
        last = [job.id for job in self.jobs[-min(count, 2) :] if self.exists(job.id)] if count else []
        dead = [job_id.decode() for job_id in self.server.client.zrange(self.keys.failed, 0, 0)] if count == 3 else []
        return tuple(dict.fromkeys(last + dead))

    # Workers

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def hire(self) -> None:
        worker = Worker(f"w{next(self._numbers):04}")
        self.run_call(self.queue.heartbeat(worker.id, LEASE, first=True))
        self.workers.append(worker)

    def some_worker(self, data: Any) -> Worker:
        return data.draw(st.sampled_from(self.workers))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), want=st.integers(1, 4), lost=st.booleans())
    def fetch(self, data: Any, want: int, lost: bool) -> None:
        worker = self.some_worker(data)
        call = self.queue.fetch(worker.id, want, worker.number, CYCLE, strict=False, lost_pops=worker.lost_pops)
        fetched = self.run_call(call)
        if lost:
            # The reply did not arrive: the same call again brings the same jobs with the same tokens.
            again = self.run_call(call)
            first = {(job.id, job.token) for job in fetched.jobs}
            assert first <= {(job.id, job.token) for job in again.jobs} or fetched.lost, "a lost reply lost jobs"
            fetched = again
        if fetched.lost:
            self.workers.remove(worker)
            self.zombies += [(worker.id, job) for job in worker.holds]
            return
        self.take_in(worker, fetched)
        self.knows_its_jobs(worker)

    def take_in(self, worker: Worker, fetched: Fetched) -> None:
        """What an ordinary fetch has brought: the next one counts on from there."""
        worker.number = max(worker.number, fetched.next_number)
        self.given(worker, fetched.jobs)

    def given(self, worker: Worker, jobs: list[FetchedJob]) -> None:
        held = {job.id for job in worker.holds}
        for job in jobs:
            assert job.id not in held, "a job was given out that the worker holds already"
            latest = self.latest.get(job.id, job.id)
            assert job.envelope == envelope_of(latest), "a job was given out with another one's envelope, or none"
            has_parents = self.field(job.id, "parents") is not None
            assert bool(job.parents) == has_parents, "a job was given out without its parents' results"
            self.may_run(job.id)
            self.take_token(worker, job.token)
        worker.holds += jobs

    def take_token(self, worker: Worker, token: str) -> None:
        assert token not in self.tokens, "a token was given out twice"
        self.tokens.add(token)
        _, bell, number = token.rpartition(".b")
        if bell:
            worker.lost_pops = [lost for lost in worker.lost_pops if lost != int(number)]

    def knows_its_jobs(self, worker: Worker) -> None:
        """Hold that a worker whose fetch was just answered has heard of all that was begun for it."""
        begun = {
            job_id.decode()
            for job_id in self.server.client.lrange(self.keys.processing(worker.id), 0, -1)
            if self.field(job_id.decode(), "state") == "processing"
        }
        assert begun <= {job.id for job in worker.holds}, "a job was begun of which its worker never hears"

    def may_run(self, job_id: str) -> None:
        expires, due = self.field(job_id, "expires"), self.field(job_id, "due")
        # What was begun in time may be given out again after that: its reply was lost.
        assert expires is None or int(expires) > int(self.field(job_id, "started")), "a job was begun too late"
        assert due is None or self.set_back or int(due) <= self.now, "a job was given out before its time"
        assert self.field(job_id, "waiting_for") is None, "a job was given out that waits for others"

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def bell(self, data: Any) -> None:
        worker = self.some_worker(data)
        self.pop(worker)

    def pop(self, worker: Worker) -> None:
        self.server.client.lmove(self.keys.next, self.keys.processing(worker.id), "RIGHT", "LEFT")

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), ahead=st.integers(0, 2), answered=st.booleans(), arrives=st.booleans(), more=st.booleans())
    def a_bell_rings(self, data: Any, ahead: int, answered: bool, arrives: bool, more: bool) -> None:
        """A blocking pop with a fetch behind it, while another fetch was done since: it may have to be sent again."""
        worker = self.some_worker(data)
        behind = self.send_blocking_pop(worker)
        call = self.queue.fetch(worker.id, ahead, worker.number, STRICT_ORDER, strict=True, lost_pops=worker.lost_pops)
        fetched = self.run_call(call)
        if answered:
            self.take_in(worker, fetched)
        self.pop(worker)
        self.ring(worker, behind, arrives)
        if more:
            self.enqueue(["high"] * 2, "", "", None, "", 0, "fail", "a")
        if not answered:
            self.take_in(worker, self.run_call(call))
        if arrives:
            self.knows_its_jobs(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def a_reply_is_lost_before_a_bell(self, data: Any) -> None:
        """So what the pop has brought stands left of what the lost fetch has begun."""
        worker = self.some_worker(data)
        self.enqueue(["high"] * 3, "", "", None, "", 0, "fail", "a")
        self.run_call(
            self.queue.fetch(worker.id, 1, worker.number, STRICT_ORDER, strict=True, lost_pops=worker.lost_pops)
        )
        self.pop(worker)
        again = self.queue.fetch(worker.id, 2, worker.number, STRICT_ORDER, strict=True, lost_pops=worker.lost_pops)
        fetched = self.run_call(again)
        if not fetched.lost:
            self.take_in(worker, fetched)
            self.knows_its_jobs(worker)

    def send_blocking_pop(self, worker: Worker) -> Any:
        worker.bell += 1
        return self.queue.fetch(worker.id, 1, worker.bell, CYCLE, strict=False, behind_pop=True)

    def ring(self, worker: Worker, behind: Any, arrives: bool) -> None:
        number = int(behind.arguments[2])
        fetched = self.run_call(behind)
        if fetched.lost:
            return
        assert not self.was_lost(worker.id), "a worker was given a job after it had lost its lease"
        assert {job.token for job in fetched.jobs} <= {f"{worker.id}.b{number}"}, "a bell used another's number"
        if arrives:
            self.given(worker, fetched.jobs)
        else:
            worker.lost_pops.append(number)

    @rule(
        kind=st.sampled_from(KINDS),
        meanwhile=st.sampled_from(["", *MEANWHILE]),
        arrives=st.booleans(),
        to_empty=st.sampled_from([True, True, False]),
    )
    def a_job_comes_alone(self, kind: str, meanwhile: str, arrives: bool, to_empty: bool) -> None:
        """To an idle worker, which is what most workers are."""
        if to_empty:
            self.empty()
        worker = self.newest_worker()
        if kind == "child":
            self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
            self.run_at_once(worker)
        self.enqueue(
            ["normal"] * (3 if kind == "of many" else 1), "", "+7000" if kind == "expires" else "", None, "",
            int(kind == "child"), "run", "limited" if kind == "limited" else "a",
        )  # fmt: skip
        job_id = self.jobs[-1].id
        if kind == "limited":
            self.run_call(self.queue.pause("limited"))
        behind = self.send_blocking_pop(worker)
        self.pop(worker)
        if meanwhile == "cancel":
            self.run_call(self.queue.cancel(job_id))
        elif meanwhile == "late":
            self.tick(8_000)
        elif meanwhile == "lost":
            self.rescue_the_silent()
            # Of one that was frozen the server does the pop all the same.
            self.pop(worker)
        elif meanwhile == "more":
            self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.ring(worker, behind, arrives)
        if kind == "limited":
            assert self.field(job_id, "state") != "processing", "a job of a paused type was begun"
            self.run_call(self.queue.resume("limited"))

    @rule()
    def all_kinds_come_alone(self) -> None:
        """One after the other: by chance some come very seldom."""
        for kind, meanwhile in product(KINDS, MEANWHILE):
            self.a_job_comes_alone(kind, meanwhile, True, True)
            self.all_is_in_order()

    def newest_worker(self) -> Worker:
        """Return one that has no jobs yet; of three, the first is never heard of again."""
        if len(self.workers) == 3:
            gone = self.workers.pop(0)
            self.zombies += [(gone.id, job) for job in gone.holds]
        self.hire()
        return self.workers[-1]

    def empty(self) -> None:
        """Leave nothing that waits or stands in the way of what comes."""
        for job_type in ("b", "limited"):
            self.run_call(self.queue.resume(job_type))
        self.run_call(self.queue.set_limit("limited", None, None, None))
        self.run_call(self.queue.purge("pending", 1000))

    @rule()
    def one_job_after_the_other_is_fetched(self) -> None:
        """As when the bell's connection was lost: what it has popped is begun by an ordinary fetch."""
        self.empty()
        worker = self.newest_worker()
        for _ in range(2):
            self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
            self.pop(worker)
            self.fetch_with(worker, 1)

    def fetch_with(self, worker: Worker, want: int = 4) -> None:
        call = self.queue.fetch(worker.id, want, worker.number, STRICT_ORDER, strict=True)
        self.take_in(worker, self.run_call(call))

    def rescue_the_silent(self) -> None:
        """Let a lease pass of which only those are heard who still work."""
        self.heartbeats()
        self.tick(12_000)
        self.run_call(self.queue.rescue(None, 0.0))

    @rule()
    def a_failed_job_comes_again(self) -> None:
        self.empty()
        worker = self.newest_worker()
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.fetch_with(worker)
        failed = worker.holds.copy()
        for job in failed:
            assert self.answer(self.call_for("retry", worker.id, job)) == "OK"
        worker.holds.clear()
        self.tick(4_000)
        self.promote()
        self.fetch_with(worker)
        before = {job.id: job.attempt for job in failed}
        for job in worker.holds:
            assert job.attempt == before.get(job.id, job.attempt - 1) + 1, "an attempt was not counted"

    def reclaim(self, worker: Worker, bell: int, under_way: list[FetchedJob]) -> None:
        """Compare a worker's list with what it holds: that stays, and so does what it has not heard of yet."""
        held = [job.token for job in worker.holds]
        call = self.queue.reclaim(worker.id, held, worker.number, bell, worker.lost_pops)
        taken = set(self.run_call(call).job_ids)
        assert not taken & {job.id for job in worker.holds}, "a job was taken from the worker that holds it"
        assert not taken & {job.id for job in under_way}, "a job was taken whose reply is on its way"

    @rule(forgets=st.booleans(), answered=st.booleans())
    def a_worker_has_forgotten_a_job(self, forgets: bool, answered: bool) -> None:
        """Its list is compared while it holds others, and the reply of another fetch is on its way."""
        self.empty()
        worker = self.newest_worker()
        self.enqueue(["normal"] * 2, "", "", None, "", 0, "fail", "a")
        self.fetch_with(worker)
        forgotten = [worker.holds.pop()] if forgets and worker.holds else []
        rung = self.a_bell_is_under_way(worker)
        self.reclaim(worker, worker.bell, rung)
        if answered:
            self.given(worker, rung)
        else:
            worker.lost_pops.append(worker.bell)
        self.enqueue(["normal"] * 2, "", "", None, "", 0, "fail", "a")
        call = self.queue.fetch(worker.id, 2, worker.number, STRICT_ORDER, strict=True, lost_pops=worker.lost_pops)
        fetched = self.run_call(call)
        if answered:
            self.take_in(worker, fetched)
        self.reclaim(worker, worker.bell + 1, [] if answered else [*rung, *fetched.jobs])
        if not answered:
            self.take_in(worker, self.run_call(call))
        self.knows_its_jobs(worker)
        for job in forgotten:
            assert self.field(job.id, "token") != job.token, "a job stays with a worker that has forgotten it"
        self.zombies += [(worker.id, job) for job in forgotten]

    def a_bell_is_under_way(self, worker: Worker) -> list[FetchedJob]:
        behind = self.send_blocking_pop(worker)
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.pop(worker)
        return self.run_call(behind).jobs

    @rule(another_runs=st.booleans())
    def a_zombie_completes_what_another_runs_or_will_run(self, another_runs: bool) -> None:
        self.empty()
        worker = self.newest_worker()
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.fetch_with(worker)
        self.workers.remove(worker)
        self.rescue_the_silent()
        if another_runs:
            self.fetch_with(self.newest_worker())
        for job in worker.holds:
            answer = self.answer(self.call_for("complete", worker.id, job))
            assert answer in ("STALE", "MISSING"), "a zombie's result was accepted"

    @rule()
    def the_next_job_is_of_a_paused_type(self) -> None:
        self.empty()
        self.run_call(self.queue.pause("limited"))
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "limited")
        self.fetch_with(self.newest_worker())
        assert self.field(self.jobs[-1].id, "state") != "processing", "a job of a paused type was begun"
        self.run_call(self.queue.resume("limited"))

    @rule()
    def the_only_job_comes_to_a_lost_worker(self) -> None:
        """Of one that was frozen the server does the pop all the same."""
        worker = self.newest_worker()
        behind = self.send_blocking_pop(worker)
        self.rescue_the_silent()
        self.empty()
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.pop(worker)
        self.ring(worker, behind, True)

    @rule()
    def a_job_comes_to_a_paused_queue(self) -> None:
        self.empty()
        self.run_call(self.queue.pause())
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.a_paused_queue_gives_nothing_out()
        self.run_call(self.queue.resume())

    @rule()
    def several_come_to_an_empty_queue(self) -> None:
        self.empty()
        self.enqueue(["normal"] * 3, "", "", None, "", 0, "fail", "a")

    @rule()
    def a_special_job_comes_after_a_plain_one(self) -> None:
        self.empty()
        self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
        self.enqueue(["normal"], "", "+7000", None, "", 0, "fail", "a")

    def run_at_once(self, worker: Worker) -> None:
        behind = self.send_blocking_pop(worker)
        self.pop(worker)
        fetched = self.run_call(behind)
        for job in fetched.jobs:
            self.given(worker, [job])
            worker.holds.remove(job)
            self.run_call(self.queue.complete(worker.id, [Completion(job.id, job.token, 1.0, b"1", b"")]))

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data(), how=st.sampled_from(["complete", "retry", "dead_letter", "requeue", "snooze", "throttle"]))
    def settle(self, data: Any, how: str) -> None:
        worker = data.draw(st.sampled_from([worker for worker in self.workers if worker.holds]))
        job = worker.holds.pop(data.draw(st.integers(0, len(worker.holds) - 1)))
        call = self.call_for(how, worker.id, job)
        self.sent.append((job.id, call))
        answer = self.answer(call)
        attempts = self.field(job.id, "attempts")
        assert self.answer(call) in ("ALREADY", "MISSING", "STALE"), "a repeat was accepted"
        assert self.field(job.id, "attempts") == attempts, "a repeat changed something"
        if answer == "STALE":
            assert self.was_lost(worker.id), "a result was refused from the worker that has the job"
            return
        assert answer in ("OK", "MISSING")
        if how in ("requeue", "snooze", "throttle") and attempts is not None:
            assert int(attempts) == job.attempt - 1, "an attempt was counted that was given back"
        if how == "requeue" and self.field(job.id, "state") == "pending":
            self.is_at_the_head(job)
        if how == "complete" and answer == "OK":
            self.accepted[job.id] = self.accepted.get(job.id, 0) + 1
            assert self.accepted[job.id] == 1, "a second result was accepted"

    @precondition(lambda self: any(len(worker.holds) > 1 for worker in self.workers))
    @rule(data=st.data())
    def complete_several(self, data: Any) -> None:
        worker = data.draw(st.sampled_from([worker for worker in self.workers if len(worker.holds) > 1]))
        ended = data.draw(st.lists(st.sampled_from(worker.holds), min_size=2, unique_by=lambda job: job.token))
        call = self.queue.complete(worker.id, [Completion(job.id, job.token, 1.0, b"1", b"") for job in ended])
        self.sent += [(job.id, call) for job in ended]
        worker.holds = [job for job in worker.holds if job not in ended]
        for job, answer in zip(ended, self.run_call(call), strict=True):
            assert answer in ("OK", "MISSING") or self.was_lost(worker.id), "a result was refused from who has the job"
            if answer == "OK":
                self.accepted[job.id] = self.accepted.get(job.id, 0) + 1
                assert self.accepted[job.id] == 1, "a second result was accepted"

    @rule(data=st.data())
    def some_of_several_end_together(self, data: Any) -> None:
        self.empty()
        worker = self.newest_worker()
        self.enqueue(["high"] * 4, "", "", None, "", 0, "fail", "a")
        self.fetch_with(worker)
        if len(worker.holds) > 1:
            self.complete_several(data)

    @rule()
    def what_is_due_comes_to_an_empty_queue(self) -> None:
        self.empty()
        self.enqueue(["normal"], "+5000", "", None, "", 0, "fail", "a")
        self.tick(6_000)
        self.promote()

    def is_at_the_head(self, job: FetchedJob) -> None:
        tenant = self.field(job.id, "tenant")
        waits_in = self.keys.pending_of(job.priority, tenant) if tenant else self.keys.pending(job.priority)
        head = self.server.client.lindex(waits_in, -1)
        following = self.server.client.lindex(self.keys.next, 0)
        assert job.id.encode() in (head, following), "a job that was given back went to the end"

    def call_for(self, how: str, worker: str, job: FetchedJob, queue: LabQueue | None = None) -> Any:
        queue = queue or self.queue
        failure = Failure(job.id, job.token, 1.0, b'{"type":"E"}', b'{"attempt":1}', b"", "")
        return {
            "complete": lambda: queue.complete(worker, [Completion(job.id, job.token, 1.0, b"1", b"")]),
            "retry": lambda: queue.retry(worker, failure, 3.0),
            "dead_letter": lambda: queue.dead_letter(worker, failure, "E", f"place {job.attempt % 2}"),
            "requeue": lambda: queue.requeue(worker, job.id, job.token),
            "snooze": lambda: queue.requeue(worker, job.id, job.token, 2.0),
            "throttle": lambda: queue.throttle(worker, job.id, job.token, 1.0),
        }[how]()

    def answer(self, call: Any) -> str:
        reply = self.run_call(call)
        return reply[0] if isinstance(reply, list) else reply

    @precondition(lambda self: self.zombies)
    @rule(data=st.data(), how=st.sampled_from(["complete", "retry", "dead_letter", "requeue"]))
    def a_zombie_speaks(self, data: Any, how: str) -> None:
        worker, job = self.zombies.pop(data.draw(st.integers(0, len(self.zombies) - 1)))
        if not self.was_lost(worker):
            return
        before = self.server.client.hgetall(self.keys.job(job.id))
        assert self.answer(self.call_for(how, worker, job)) in ("STALE", "MISSING"), "a zombie's result was accepted"
        assert self.server.client.hgetall(self.keys.job(job.id)) == before, "a zombie changed a record"

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_repeat_comes_late(self, data: Any) -> None:
        """Long after it was answered, a call arrives once more: its sender had not got the reply."""
        job_id, call = data.draw(st.sampled_from(self.sent))
        before = self.server.client.hgetall(self.keys.job(job_id))
        if call.verb == "enqueue":
            # A record that has run out can't tell of the job.
            assert not before or self.run_call(call).answers == ["DUPLICATE"], "a late repeat stored a job again"
        else:
            assert self.answer(call) in ("ALREADY", "MISSING", "STALE"), "a late repeat was accepted"
        assert self.server.client.hgetall(self.keys.job(job_id)) == before, "a late repeat changed something"

    @rule(data=st.data())
    def a_worker_leaves(self, data: Any) -> None:
        idle = [worker for worker in self.workers if not worker.holds]
        if not idle:
            return
        worker = data.draw(st.sampled_from(idle))
        if self.run_call(self.queue.resign(worker.id)) == "OK":
            self.workers.remove(worker)
            # Its blocking pop was on its way, and is given a job.
            self.server.client.lmove(self.keys.next, self.keys.processing(worker.id), "RIGHT", "LEFT")

    @precondition(lambda self: len(self.workers) > 1)
    @rule(data=st.data())
    def crash(self, data: Any) -> None:
        worker = self.some_worker(data)
        self.workers.remove(worker)
        self.zombies += [(worker.id, job) for job in worker.holds]

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data(), rescued=st.booleans())
    def a_worker_is_lost(self, data: Any, rescued: bool) -> None:
        """One worker is not heard of for a lease, the others are."""
        lost = data.draw(st.sampled_from([worker for worker in self.workers if worker.holds]))
        self.workers.remove(lost)
        self.zombies += [(lost.id, job) for job in lost.holds]
        for _ in range(2):
            self.heartbeats()
            self.tick(6_000)
        if rescued:
            self.run_call(self.queue.rescue(None, 0.0))
            assert self.run_call(self.queue.heartbeat(lost.id, LEASE)).lost, "a lost worker is not told so"
            self.a_zombie_speaks(data, "retry")

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def a_zombie_fetches(self, data: Any) -> None:
        worker, _ = data.draw(st.sampled_from(self.zombies))
        if self.was_lost(worker):
            fetched = self.run_call(self.queue.fetch(worker, 1, 1000, STRICT_ORDER, strict=True))
            assert fetched.lost, "a worker that lost its lease was given jobs"

    @rule()
    def heartbeats(self) -> None:
        for worker in list(self.workers):
            beat = self.run_call(self.queue.heartbeat(worker.id, LEASE))
            if beat.lost:
                self.workers.remove(worker)
                self.zombies += [(worker.id, job) for job in worker.holds]
                continue
            asked = {job.id for job in worker.holds if self.field(job.id, "cancel")}
            # Of others it has not heard yet.
            told = {job.id for job in worker.holds} & set(beat.cancelling)
            assert asked == told, "a worker was not told what to cancel"
            for job in [job for job in worker.holds if job.id in beat.cancelling]:
                worker.holds.remove(job)
                answer = self.run_call(self.queue.cancelled(worker.id, job.id, job.token, b'{"attempt":1}', b""))
                assert answer in ("OK", "STALE", "MISSING")

    @rule(
        data=st.data(),
        milliseconds=st.sampled_from([0, 1_000, 8_000]),
        how=st.sampled_from(["complete", "retry", "dead_letter", "requeue", "snooze", "throttle", ""]),
    )
    def work_goes_on(self, data: Any, milliseconds: int, how: str) -> None:
        """What happens most of the time: nothing special."""
        if not self.workers:
            self.hire()
        self.tick(milliseconds)
        self.promote()
        self.heartbeats()
        if self.workers:
            self.fetch(data, 2, False)
        if how and any(worker.holds for worker in self.workers):
            self.settle(data, how)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def jobs_are_given_back(self, data: Any) -> None:
        self.enqueue(["high"] * 5, "", "", None, "", 0, "fail", "a")
        self.fetch(data, 3, False)
        if any(worker.holds for worker in self.workers):
            self.settle(data, "requeue")

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def jobs_are_too_late(self, data: Any) -> None:
        self.enqueue(["high"] * 2, "", "+7000", None, "", 0, "fail", "a")
        self.tick(8_000)
        self.fetch(data, 4, False)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), how=st.sampled_from(["complete", "dead_letter"]))
    def a_child_waits_for_two(self, data: Any, how: str) -> None:
        self.enqueue(["high", "high"], "", "", None, "", 0, "fail", "a")
        self.enqueue(["normal"], "", "", None, "", 2, "run", "a")
        self.fetch(data, 4, False)
        if any(worker.holds for worker in self.workers):
            self.settle(data, how)

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data(), on_parent_failure=st.sampled_from(["fail", "run"]))
    def a_child_comes_after_its_parent_has_died(self, data: Any, on_parent_failure: str) -> None:
        self.settle(data, "dead_letter")
        self.enqueue(["normal"], "", "", None, f"u{next(self._numbers):04}", 3, on_parent_failure, "a")

    # Time and operators

    @rule(milliseconds=st.sampled_from([1, 500, 3_000, 6_000, 11_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.tick(milliseconds)

    @rule()
    def promote(self) -> None:
        self.run_call(self.queue.promote(3))
        for waiting in map(self.keys.of_state, TIMED):
            due = self.server.client.zcount(waiting, "-inf", self.now)
            assert due == 0 or self.run_call(self.queue.promote(100)) is not None

    @rule()
    def rescue(self) -> None:
        self.run_call(self.queue.rescue(None, 0.0))

    @rule(milliseconds=st.sampled_from([-20_000, -6_000, 6_000, 20_000]))
    def the_clock_is_set(self, milliseconds: int) -> None:
        """No time passes, and the server's clock shows another."""
        leases = dict(self.server.client.zrange(self.keys.workers, 0, -1, withscores=True))
        self.tick(milliseconds)
        self.set_back = self.set_back or milliseconds < 0
        rescued = self.run_call(self.queue.rescue(self.now - milliseconds, 0.0))
        assert rescued.step == milliseconds, "a clock that was set took a worker's lease"
        moved = dict(self.server.client.zrange(self.keys.workers, 0, -1, withscores=True))
        assert moved == {worker: until + milliseconds for worker, until in leases.items()}

    @rule()
    def prune(self) -> None:
        self.run_call(self.queue.prune(0, 60.0, 3))

    @rule(limit=st.integers(1, 8), family=st.booleans())
    def memory_runs_out(self, limit: int, family: bool) -> None:
        """Records are removed early, but for results that a job which has not ended will read."""
        if family:
            self.empty()
            self.enqueue(["normal"], "", "", None, "", 0, "fail", "a")
            # One child waits already, the other one comes when its parent has completed.
            self.enqueue(["normal"], "+5000", "", None, "", 1, "fail", "a")
            self.run_at_once(self.newest_worker())
            self.jobs.append(self.jobs.pop(-2))
            self.enqueue(["normal"], "", "", None, "", 1, "fail", "a")
        still_read = self.completed_parents()
        self.run_call(self.queue.evict(limit, 0, self.now, 0.0))
        assert self.completed_parents() == still_read, "a result that is still to be read was removed"

    def completed_parents(self) -> set[str]:
        ended = {*ENDED, None}
        children = [job for job in self.jobs if job.after and self.field(job.id, "state") not in ended]
        parents = {parent for job in children for parent in job.after} - self.redriven
        return {parent for parent in parents if self.field(parent, "state") == "completed"}

    @rule()
    def forget(self) -> None:
        """What is left of the queue is deleted, if that is nothing that anybody would miss."""
        holds = self.run_call(self.queue.survey()).holds
        there = list(self.server.client.scan_iter(match=self.keys.job("*"), count=1000))
        counted = self.run_call(self.queue.forget())
        assert (counted is None) == holds, "a survey and the script that forgets a queue see it differently"
        assert counted is None or not there, "a queue was forgotten with its jobs"

    @rule(how=st.sampled_from(["wait", "wait for its time", "retry", "dead_letter", "complete"]))
    def one_job_is_left(self, how: str) -> None:
        """In a queue that no worker serves any more; another one than that of the other moves, which has workers."""
        queue, worker = (
            LabQueue(self.server.keys.for_queue(f"q{next(_names)}")),
            f"w{next(self._numbers):04}",
        )
        self.server.client.set(queue.keys.prefix + "clock", self.now)
        job_id, due = self.new_id(), "+5000" if how == "wait for its time" else ""
        self.run_call(queue.enqueue([NewJob(id=job_id, type="a", envelope=envelope_of(job_id), due=due)]))
        if not how.startswith("wait"):
            self.run_call(queue.heartbeat(worker, LEASE, first=True))
            (job,) = self.run_call(queue.fetch(worker, 1, 1, STRICT_ORDER, strict=True)).jobs
            self.run_call(self.call_for(how, worker, job, queue))
            self.run_call(queue.resign(worker))
            # Its name is fenced for a while longer.
            self.server.client.delete(queue.keys.fenced)
        assert self.run_call(queue.survey()).holds, "a survey finds a queue empty that has a job"
        assert self.run_call(queue.forget()) is None, "a queue was forgotten with its job"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.run_call(self.queue.cancel(job.id))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), priority=st.sampled_from(PRIORITIES))
    def act_on_what_waits(self, data: Any, priority: str) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.run_call(self.queue.set_priority(job.id, priority))
        job = data.draw(st.sampled_from(self.jobs))
        self.run_call(self.queue.run_now(job.id))

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data())
    def cancel_what_runs(self, data: Any) -> None:
        job = data.draw(st.sampled_from([job for worker in self.workers for job in worker.holds]))
        self.run_call(self.queue.cancel(job.id))
        self.heartbeats()

    @rule()
    def redrive(self) -> None:
        dead = [member.decode() for member in self.server.client.zrange(self.keys.failed, 0, 2)]
        self.run_call(self.queue.redrive(dead))
        self.redriven.update(dead)
        for job_id in dead:
            assert self.field(job_id, "attempts") == "0", "a dead letter came back with old attempts"
            self.accepted.pop(job_id, None)

    @rule(canary=st.sampled_from([0, 1, 2]), rate=st.sampled_from([None, 1.0]), limit=st.sampled_from([None, 2]))
    def begin_a_redrive(self, canary: int, rate: float | None, limit: int | None) -> None:
        redrive_id = f"r{next(self._numbers):04}"
        asked = redrive_id.encode()
        call = self.queue.start_redrive(redrive_id, [], canary=canary, rate=rate, limit=limit, asked=asked)
        assert self.run_call(call) == self.run_call(call), "a repeat was answered otherwise"

    @rule(milliseconds=st.sampled_from([0, 500, 3_000]))
    def redrives_go_on(self, milliseconds: int) -> None:
        self.tick(milliseconds)
        dead = set(self.server.client.zrange(self.keys.failed, 0, -1))
        self.run_call(self.queue.continue_redrives())
        for job_id in dead - set(self.server.client.zrange(self.keys.failed, 0, -1)):
            assert self.field(job_id.decode(), "attempts") in ("0", None)
            self.accepted.pop(job_id.decode(), None)
            self.redriven.add(job_id.decode())

    @precondition(lambda self: any(worker.holds for worker in self.workers))
    @rule(data=st.data(), how=st.sampled_from(["complete", "dead_letter", "dead_letter"]))
    def the_first_ones_decide(self, data: Any, how: str) -> None:
        """Dead letters are retried by and by; the rest stays until the first one has completed."""
        while any(worker.holds for worker in self.workers):
            self.settle(data, "dead_letter")
        self.begin_a_redrive(1, None, None)
        self.redrives_go_on(0)
        if not (plans := self.plans()):
            return
        plan = plans[-1]
        self.fetch(data, 4, False)
        if any(worker.holds for worker in self.workers):
            self.settle(data, how)
        self.redrives_go_on(500)
        self.redrives_go_on(0)
        first = self.field(plan["canaries"], "state") if plan.get("canaries") else "completed"
        if first != "completed":
            again = next(each for each in self.plans() if each["asked"] == plan["asked"])
            assert again["retried"] == plan["retried"], "others followed one that has not completed"

    def plans(self) -> list[dict[str, str]]:
        """Return the redrives, the last begun last."""
        client, head = self.server.client, self.keys.redrive("r")
        keys = sorted(client.scan_iter(match=head + "*", count=1000), key=lambda key: int(key[len(head) :]))
        return [{name.decode(): value.decode() for name, value in client.hgetall(key).items()} for key in keys]

    @rule(state=st.sampled_from(PURGEABLE), limit=st.sampled_from([1, 2, 1000]))
    @precondition(lambda self: len(self.jobs) > 6)
    def purge(self, state: str, limit: int) -> None:
        self.run_call(self.queue.purge(state, limit))

    @rule(rate=st.sampled_from([None, 1.0, 100.0]), concurrency=st.sampled_from([None, 1, 2]), per_key=st.booleans())
    def limit(self, rate: float | None, concurrency: int | None, per_key: bool) -> None:
        self.run_call(self.queue.set_limit("limited", rate, rate and 2.0, concurrency, per_key))

    @rule(
        tenant=st.sampled_from(["t", "u"]),
        weight=st.sampled_from([None, 1, 2, 3]),
        rate=st.sampled_from([None, 1.0]),
        concurrency=st.sampled_from([None, 1, 2]),
    )
    def set_tenant(self, tenant: str, weight: int | None, rate: float | None, concurrency: int | None) -> None:
        limits = (rate, rate and 2.0, concurrency) if weight else (None, None, None)
        self.run_call(self.queue.set_tenant(tenant, weight, *limits))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), concurrency=st.sampled_from([1, 2]))
    def a_tenant_reaches_its_limit(self, data: Any, concurrency: int) -> None:
        self.set_tenant("t", 1, None, concurrency)
        for priority in ("normal", "normal", "high", "normal"):
            self.enqueue([priority], "", "", None, "", 0, "fail", "a", tenant="t")
        self.fetch(data, 4, False)
        holders = self.server.client.scard(self.keys.holding("@t"))
        assert holders <= 2, "more jobs of a tenant run than may"
        self.tick(1_000)
        self.promote()

    @rule(priority=st.sampled_from(["high", "low"]))
    def purge_one_of_many(self, priority: str) -> None:
        self.enqueue(["normal", priority, "normal"], "", "", None, "", 0, "fail", "a")
        self.run_call(self.queue.purge("pending", 1))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), per_key=st.booleans())
    def a_limit_is_reached(self, data: Any, per_key: bool) -> None:
        """One of these may run, the others are parked; then it is time to look at them again."""
        self.limit(None, 1, per_key)
        for _ in range(3):
            self.enqueue(["normal"], "", "", None, "", 0, "fail", "limited")
        self.fetch(data, 4, False)
        self.tick(1_000)
        self.promote()

    @rule(job_type=st.sampled_from(["", "b"]), go_on=st.sampled_from([True, True, False]))
    def pause_or_resume(self, job_type: str, go_on: bool) -> None:
        self.run_call(self.queue.resume(job_type) if go_on else self.queue.pause(job_type))

    # What must be true

    @invariant()
    def all_is_in_order(self) -> None:
        assert findings(self.server.client, self.keys) == []

    @invariant()
    def a_paused_queue_gives_nothing_out(self) -> None:
        if self.server.client.exists(self.keys.paused):
            assert not self.server.client.exists(self.keys.next), "a paused queue gives out a job"

    def field(self, job_id: str, name: str) -> str | None:
        value = self.server.client.hget(self.keys.job(job_id), name)
        return None if value is None else value.decode()

    def exists(self, job_id: str) -> bool:
        return bool(self.server.client.exists(self.keys.job(job_id)))

    def was_lost(self, worker: str) -> bool:
        return self.server.client.zscore(self.keys.workers, worker) is None

    # After the storm

    def drain(self) -> None:
        """Let everything end: no more faults, time passes, one good worker works."""
        self.run_call(self.queue.resume())
        self.run_call(self.queue.resume("b"))
        self.run_call(self.queue.set_limit("limited", None, None, None))
        for tenant in ("t", "u"):
            self.run_call(self.queue.set_tenant(tenant, None, None, None, None))
        for worker in self.workers:
            self.zombies += [(worker.id, job) for job in worker.holds]
        self.workers.clear()
        for _ in range(60):
            self.tick(12_000)
            self.run_call(self.queue.rescue(None, 0.0))
            self.run_call(self.queue.promote(100))
            good = Worker(f"good{next(self._numbers):04}")
            self.run_call(self.queue.heartbeat(good.id, LEASE, first=True))
            fetched = self.run_call(self.queue.fetch(good.id, 50, 1, STRICT_ORDER, strict=True))
            for job in fetched.jobs:
                self.run_call(self.queue.complete(good.id, [Completion(job.id, job.token, 1.0, b"1", b"")]))
            if not self.unfinished():
                return
        raise AssertionError(f"jobs never end: {self.unfinished()}")

    def unfinished(self) -> list[str]:
        return [
            f"{job.id} {state}" for job in self.jobs if (state := self.field(job.id, "state")) not in {*ENDED, None}
        ]


def envelope_of(job_id: str) -> bytes:
    return b'{"payload":{"id":"%s"}}' % job_id.encode()

"""What admission by memory decides, without processes: what types need, what fits, and whose turn it is."""

from collections import deque

import msgspec
import pytest
from gopher.worker.children import oom_kills
from gopher.worker.children.handle import LOOK
from gopher.worker.children.oom_kills import OomKills
from gopher.worker.children.pool import Pool
from gopher.worker.crew import Crew
from gopher.worker.memory import admission as admitting
from gopher.worker.memory.admission import PATIENCE, Admission
from gopher.worker.memory.sizes import Sizes
from gopher.worker.messages import Completed, Usage
from gopher.worker.queue_side.clock import ServerClock
from gopher.worker.queue_side.decisions import on_out_of_memory

from gopher.base.latencies import file_class
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.queue.replies import FetchedJob
from tests.worker.children import NOBODY, new_child
from tests.worker.children import running as some_job

MIB = 2**20


# What a type needs


def test_the_last_jobs_here_count_before_the_figures_of_all_workers():
    sizes = Sizes()
    sizes.fresh = 20 * MIB
    assert sizes.need("t") is None
    sizes.take("default", "t", {"run:3": 90, "memory:32": 100})
    # The bucket ends at 256 MiB; no more than an idle child has in addition.
    assert 215 * MIB < sizes.need("t") <= 236 * MIB
    for _ in range(5):
        sizes.saw("t", 0, 50 * MIB)
    assert sizes.need("t") == 50 * MIB


def test_a_rare_outlier_does_not_count_and_few_figures_count_for_more():
    sizes = Sizes()
    sizes.saw("t", 0, 100 * MIB)
    assert sizes.need("t") == 110 * MIB
    for size in (*[100] * 18, 900):
        sizes.saw("t", 0, size * MIB)
    assert sizes.need("t") == 100 * MIB


def test_jobs_with_files_need_what_those_with_such_files_have_needed():
    sizes = Sizes()
    small, large = file_class(1 * MIB), file_class(4 * MIB)
    for _ in range(5):
        sizes.saw("t", small, 100 * MIB)
        sizes.saw("t", large, 400 * MIB)
    assert sizes.need("t", small) == 100 * MIB
    # Of the next larger ones, or in proportion to the largest known.
    assert sizes.need("t", file_class(2 * MIB)) == 400 * MIB
    assert sizes.need("t", file_class(8 * MIB)) == 800 * MIB
    assert sizes.most("t") == 400 * MIB
    assert sizes.needs() == {"t": 400 * MIB, f"t/{small}": 100 * MIB, f"t/{large}": 400 * MIB}


def test_types_with_short_jobs_need_nothing():
    sizes = Sizes()
    sizes.take("default", "t", {"run:3": 90})
    assert sizes.need("t") == 0
    assert file_class(0) == 0 < file_class(1) <= file_class(4096)


# What starts


def job(number, job_type, priority="normal", crashes=(), attempt=1):
    made = some_job(number)
    made.job = FetchedJob(f"id-{number}", f"w.{number}", job_type, priority, attempt, tuple(crashes))
    return made


class Worker:
    """The admission of a worker of 1,000 MiB for jobs, whose children never run."""

    def __init__(self, children, monkeypatch):
        self.crew = Crew(Pool(Settings(worker_concurrency=children), Registry(), list))
        for number in range(1, children + 1):
            child = new_child()
            child.pid = NOBODY + number
            self.crew.pool.children[child.pid] = child
        monkeypatch.setattr(admitting.Ledger, "look", lambda ledger, now: None)
        monkeypatch.setattr(admitting.Ledger, "look_at_children", lambda ledger, now, idle_only=False: None)
        self.admission = Admission(round(1000 * MIB / 0.98) + 1, self.crew, {}, ServerClock(), [])
        for size in (10, 300, 400, 600, 2000):
            for _ in range(5):
                self.admission.sizes.saw(f"t{size}", 0, size * MIB)
        self.admission.refresh(0.0)

    def hand_out(self, *jobs, now=0.0):
        """Return the numbers of the jobs that are running after that, and of those that are held."""
        self.crew.backlog = deque([*self.crew.held, *jobs])
        self.crew.held.clear()
        self.admission.hand_out(self.crew.backlog, 1, now)
        return self.running(), [int(each.job.id[3:]) for each in self.crew.held]

    def running(self):
        children = self.crew.pool.children.values()
        return sorted(int(each.job.id[3:]) for child in children for each in child.jobs)

    def end(self, number):
        for child in self.crew.pool.children.values():
            child.jobs = deque(each for each in child.jobs if each.job.id != f"id-{number}")

    def child_of(self, number):
        children = self.crew.pool.children.values()
        return next(each for each in children if each.head and each.head.job.id == f"id-{number}")

    def grows(self, number, size, now):
        """Let a job be seen with so many bytes more than its child began with."""
        child = self.child_of(number)
        child.resident = child.fresh + size
        child.look_at = now + LOOK
        self.admission.look_at_first_jobs(now)

    def close(self):
        for child in self.crew.pool.children.values():
            child.close()


@pytest.fixture
def worker(monkeypatch):
    worker = Worker(4, monkeypatch)
    yield worker
    worker.close()


def test_small_jobs_are_not_looked_at_and_large_ones_are(worker):
    assert worker.admission.lets_all(deque([job(1, "t10")]), 0.0)
    assert not worker.admission.lets_all(deque([job(1, "t10"), job(2, "t300")]), 0.0)
    assert not worker.admission.lets_all(deque([job(1, "t10", crashes=["SIGSEGV"])]), 0.0)


def test_the_largest_jobs_start_first_and_others_pass_those_by_that_do_not_fit(worker):
    first = [job(1, "t300"), job(2, "t600"), job(3, "t400"), job(4, "t400")]
    assert worker.hand_out(*first) == ([2, 3], [4, 1])
    assert worker.hand_out(job(5, "t10")) == ([2, 3, 5], [4, 1])
    worker.end(2)
    assert worker.hand_out() == ([3, 4, 5], [1])


def test_the_places_of_priorities_stay(worker):
    assert worker.hand_out(job(1, "t400", "high"), job(2, "t600"), job(3, "t600", "high")) == ([1, 3], [2])


def test_a_job_that_was_passed_by_for_long_gets_the_machine(worker):
    assert worker.hand_out(job(1, "t600"), job(2, "t600")) == ([1], [2])
    assert worker.hand_out(job(3, "t300"), now=PATIENCE - 1) == ([1, 3], [2])
    worker.end(1)
    worker.hand_out(job(4, "t600"), now=PATIENCE)
    assert worker.running() == [2, 3]
    worker.end(2)
    worker.end(3)
    # Now the other one is due, and nothing passes it by.
    assert worker.hand_out(job(5, "t400"), now=PATIENCE) == ([4, 5], [])


def test_nothing_passes_by_what_is_due(worker):
    assert worker.hand_out(job(1, "t600"), job(2, "t600")) == ([1], [2])
    assert worker.hand_out(job(3, "t10"), now=PATIENCE) == ([1], [2, 3])
    worker.end(1)
    assert worker.hand_out(now=PATIENCE) == ([2, 3], [])


def test_what_an_earlier_attempt_has_waited_does_not_count(worker):
    assert worker.hand_out(job(1, "t600"), job(2, "t600")) == ([1], [2])
    # Given back, and run by another worker.
    worker.crew.held.clear()
    assert worker.hand_out(job(2, "t600", attempt=2), now=PATIENCE) == ([1], [2])
    assert worker.hand_out(job(3, "t10"), now=PATIENCE) == ([1, 3], [2])


def test_a_job_that_starts_at_once_has_waited_no_longer(worker):
    assert worker.hand_out(job(1, "t600"), job(2, "t600")) == ([1], [2])
    worker.crew.held.clear()
    worker.end(1)
    assert worker.hand_out(job(2, "t600"), now=1.0) == ([2], [])
    worker.end(2)
    assert worker.hand_out(job(3, "t600"), now=2.0) == ([3], [])
    # Its worker was told to stop, and took it back.
    assert worker.hand_out(job(2, "t600"), now=PATIENCE + 1) == ([3], [2])
    assert worker.hand_out(job(4, "t10"), now=PATIENCE + 1) == ([3, 4], [2])


def test_more_jobs_are_held_while_children_are_idle(worker):
    worker.hand_out(*(job(number, "t600") for number in range(1, 101)))
    assert worker.admission.may_fetch(0.0)
    assert worker.hand_out(job(101, "t10")) == ([1, 101], [*range(2, 101)])
    worker.hand_out(*(job(number, "t10") for number in (102, 103)))
    # Now none could start.
    assert not worker.admission.may_fetch(0.0)
    worker.end(102)
    worker.hand_out(*(job(number, "t600") for number in range(200, 229)))
    assert not worker.admission.may_fetch(0.0)


def test_large_jobs_are_held_up_to_a_size(worker):
    large = [job(number, "t600") for number in range(1, 22)]
    for each in large:
        each.job = msgspec.structs.replace(each.job, envelope=bytes(MIB))
    worker.hand_out(*large[:16])
    assert worker.admission.may_fetch(0.0)
    worker.hand_out(*large[16:])
    assert not worker.admission.may_fetch(0.0)


def test_a_job_is_due_however_many_others_have_been_held_since(worker):
    worker.hand_out(job(1, "t600"), job(2, "t600"))
    for number in range(3, 2000):
        worker.hand_out(job(number, "t600"), now=1.0)
        worker.crew.held.pop()
    worker.admission.held._check_at = 0.0
    worker.admission.held._queues = {"default": None}
    worker.admission.held._tell = lambda running, ended: None
    worker.admission.held._ask_expiry = lambda running: None
    worker.admission.held._may_go = lambda running, now: False
    worker.admission.held.check(2.0)
    assert worker.hand_out(job(2000, "t10"), now=PATIENCE) == ([1], [2, 2000])


def test_a_job_that_needs_all_there_is_runs_when_nothing_else_does(worker):
    assert worker.hand_out(job(1, "t300")) == ([1], [])
    assert worker.hand_out(job(2, "t2000")) == ([1], [2])
    worker.end(1)
    assert worker.hand_out(job(3, "t300")) == ([2], [3])


def test_a_job_that_was_killed_for_memory_runs_alone(worker):
    killed = ["used 300 MiB of memory (see WORKER_MEMORY)"]
    assert worker.hand_out(job(1, "t10")) == ([1], [])
    assert worker.hand_out(job(2, "t300", crashes=killed)) == ([1], [2])
    worker.end(1)
    assert worker.hand_out() == ([2], [])
    assert worker.hand_out(job(3, "t10")) == ([2], [3])


def test_jobs_of_an_unknown_type_are_tried_out(worker):
    assert worker.hand_out(job(1, "t600")) == ([1], [])
    assert worker.hand_out(job(2, "new"), job(3, "new")) == ([1, 2], [3])
    child = worker.child_of(2)
    worker.admission.ended(child, child.jobs[0], Completed(1, 0.1, b"", Usage(0.1, 0.0, 20 * MIB)))
    worker.end(2)
    assert worker.hand_out(job(4, "new")) == ([1, 3, 4], [])


@pytest.fixture
def first_job(worker):
    """A job of an unknown type that began at 100 s, beside another one; a second of its type does not fit."""
    assert worker.hand_out(job(9, "t400"), now=100.0) == ([9], [])
    assert worker.hand_out(job(1, "new"), job(2, "new"), now=100.0) == ([1, 9], [2])
    worker.child_of(1).head.started = 100.0


@pytest.mark.usefixtures("first_job")
def test_others_of_a_new_type_follow_once_its_first_job_has_stopped_growing(worker):
    for now, size in ((100.25, 70), (100.5, 120), (100.75, 121), (100.9, 122)):
        worker.grows(1, size * MIB, now)
        assert worker.hand_out(now=now) == ([1, 9], [2]), now
    worker.grows(1, 122 * MIB, 101.0)
    # It may grow again: jobs of its type count for twice what it has grown by so far.
    assert worker.admission.need_of("new", 0) == 244 * MIB
    assert worker.hand_out(now=101.0) == ([1, 2, 9], [])


@pytest.mark.usefixtures("first_job")
def test_what_a_child_had_before_says_nothing_of_its_first_job_of_a_type(worker):
    worker.child_of(1).resident_before = 200 * MIB
    for now in (100.25, 100.5, 101.0, 101.75):
        worker.grows(1, 210 * MIB, now)
        assert worker.hand_out(now=now) == ([1, 9], [2]), now


@pytest.mark.usefixtures("first_job")
def test_a_child_that_was_not_looked_at_again_is_not_steady(worker):
    worker.grows(1, 120 * MIB, 100.25)
    for now in (100.75, 101.25):
        worker.admission.look_at_first_jobs(now)
        assert worker.hand_out(now=now) == ([1, 9], [2]), now


@pytest.mark.usefixtures("first_job")
def test_a_first_job_that_has_hardly_grown_says_nothing_for_two_seconds(worker):
    worker.grows(1, 20 * MIB, 101.75)
    assert worker.hand_out(now=101.75) == ([1, 9], [2])
    worker.grows(1, 20 * MIB, 102.25)
    assert worker.hand_out(now=102.25) == ([1, 2, 9], [])


# What was killed


def test_a_kill_teaches_no_less_than_what_was_known(worker):
    worker.hand_out(job(1, "t600"), job(2, "new"))
    for number in (1, 2):
        child = worker.child_of(number)
        child.most_resident = child.fresh + 50 * MIB
        worker.admission.killed(child, child.jobs[0])
    assert worker.admission.need_of("t600", 0) == 600 * MIB
    assert 50 * MIB <= worker.admission.need_of("new", 0) < 60 * MIB


def test_one_kill_of_the_system_explains_one_death(monkeypatch):
    counted = iter([3, 3, 5, 5, 5])
    monkeypatch.setattr(oom_kills, "oom_kills", lambda: next(counted))
    kills = OomKills()
    assert [kills.explain_one() for _ in range(4)] == [False, True, True, False]


def test_a_kill_that_was_noted_long_ago_explains_no_death(monkeypatch):
    counted = iter([3, 4, 4, 5])
    monkeypatch.setattr(oom_kills, "oom_kills", lambda: next(counted))
    monkeypatch.setattr(oom_kills, "_RECENT", 0.0)
    kills = OomKills()
    kills.look()
    assert [kills.explain_one() for _ in range(2)] == [False, True]


def test_a_job_that_is_killed_for_memory_again_is_dead_with_the_figure():
    first = on_out_of_memory(FetchedJob("i", "w.1", "t", "normal"), "used 300 MiB of memory", "", 3)
    assert (first.kind, first.crash) == ("retry", "used 300 MiB of memory")
    again = FetchedJob("i", "w.2", "t", "normal", 2, (first.crash,))
    second = on_out_of_memory(again, "out of memory (killed by the system)", "", 3)
    assert (second.kind, second.error_type) == ("dead", "OutOfMemory")
    assert b"out of memory (killed by the system)" in second.error

"""A server without memory left refuses new jobs as a whole, and lets those that it has go on to their end."""

import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.errors import QueueFull
from gopher.queue.arguments import Request
from gopher.queue.invariants import findings
from gopher.queue.store import Server
from gopher.server.embedded import EmbeddedServer
from tests.lua.lab import ROW, Lab, failure, new_job


@pytest.fixture(scope="module")
def own_url():
    folder = Path(tempfile.mkdtemp(prefix="gopher-full-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class FullLab(Lab):
    """A lab whose server a test may fill. The lab's own clock always fits."""

    def fill(self):
        self.redis.config_set("maxmemory", 1)

    def set_clock(self, now):
        self.redis.config_set("maxmemory", 0)
        super().set_clock(now)
        if getattr(self, "is_full", False):
            self.fill()


@pytest.fixture
def lab(own_url, namespace):
    with Server(Settings(redis_url=own_url, namespace=namespace)) as server:
        lab = FullLab(server)
        yield lab
        lab.redis.config_set("maxmemory", 0)
        assert findings(lab.redis, lab.keys) == []
        lab.redis.flushdb()


@pytest.fixture
def full(lab):
    """The lab once a test calls this: full from then on."""

    def fill():
        lab.is_full = True
        lab.fill()

    return fill


def test_new_jobs_are_refused_and_nothing_of_them_is_stored(lab, full):
    parent = lab.enqueue(due="+5000")
    batches = [
        [new_job()],
        [new_job(due="+1000")],
        [new_job(unique_key="k", limit_key="t"), new_job(after=(parent,))],
        [new_job() for _ in range(500)],
    ]
    full()
    before = lab.everything()
    for jobs in batches:
        with pytest.raises(QueueFull):
            lab.run(lab.queue.enqueue(jobs, Request("key", "digest", "1")))
    assert lab.everything() == before


@pytest.mark.parametrize("waiting", [0, 2])
def test_a_plain_job_alone_is_refused_too(lab, full, waiting):
    lab.seed_pending(waiting)
    full()
    before = lab.everything()
    with pytest.raises(QueueFull):
        lab.run(lab.queue.enqueue([new_job()]))
    assert lab.everything() == before


def test_a_repeat_of_what_was_stored_is_answered(lab, full):
    job = new_job()
    lab.run(lab.queue.enqueue([job]))
    full()
    assert lab.run(lab.queue.enqueue([job])).answers == ["DUPLICATE"]


def test_new_schedules_are_refused(lab, full):
    full()
    with pytest.raises(QueueFull):
        lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    assert "schedules" not in lab.everything()


@pytest.mark.parametrize("ending", ["complete", "retry", "dead_letter", "requeue", "snooze", "throttle", "cancelled"])
def test_a_running_job_can_end(lab, full, ending):
    job = lab.seed_processing()
    full()
    if ending == "complete":
        assert lab.complete(job, result=b'"' + b"x" * 10_000 + b'"', log=b"[]") == "OK"
        return
    call = {
        "retry": lambda: lab.queue.retry("w1", failure(job, log=b"[]", crash="SIGSEGV"), 5.0),
        "dead_letter": lambda: lab.queue.dead_letter("w1", failure(job, log=b"[]", crash="SIGSEGV"), "ValueError"),
        "requeue": lambda: lab.queue.requeue("w1", job.id, job.token),
        "snooze": lambda: lab.queue.requeue("w1", job.id, job.token, 5.0),
        "throttle": lambda: lab.queue.throttle("w1", job.id, job.token, 5.0),
        "cancelled": lambda: lab.queue.cancelled("w1", job.id, job.token, ROW, b"[]"),
    }[ending]()
    assert lab.run(call) == "OK"


def test_waiting_jobs_are_fetched(lab, full):
    ids = lab.seed_pending(5)
    lab.run(lab.queue.set_limit("email", 100.0, 100.0, 3))
    full()
    lab.hire()
    assert [job.id for job in lab.fetch(want=2)] == ids[:2]
    assert [job.id for job in lab.fetch(want=5)] == ids[2:3]


def test_a_job_that_was_just_delivered_starts(lab, full):
    job_id = lab.enqueue()
    lab.hire()
    lab.hand_over()
    full()
    assert [job.id for job in lab.fetch()] == [job_id]


def test_a_job_that_its_worker_does_not_hold_goes_back(lab, full):
    job = lab.seed_processing()
    full()
    assert lab.run(lab.queue.reclaim("w1", [], 1000, 1000)).job_ids == [job.id]


def test_throttled_jobs_are_released(lab, full):
    parked(lab, "high")
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    lab.run(lab.queue.resume("email"))
    full()
    assert lab.run(lab.queue.promote()).moved == 1


def test_dead_letters_are_retried_gradually(lab, full):
    lab.seed_failed()
    lab.run(lab.queue.start_redrive("r", []))
    full()
    assert lab.run(lab.queue.continue_redrives()).moved == 1


def test_records_are_removed_early(lab, full):
    parent, _ = lab.seed_completed(), lab.seed_completed()
    lab.redis.hset(lab.keys.job(parent), "readers", f"gone,{lab.enqueue()}")
    full()
    assert lab.run(lab.queue.evict(100, 0, lab.now, 0.0)).records == 1


def test_counters_are_sampled(lab, full):
    lab.seed_completed()
    full()
    assert lab.run(lab.queue.sample()).taken > 0


def test_schedules_fire(lab, full):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    full()
    assert lab.run(lab.queue.tick("nightly", b"{}", lab.now, lab.now + 60_000, [new_job()])) == "FIRED"


def test_what_handlers_declare_is_announced_and_withdrawn(lab, full):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None, origin="handler"))
    full()
    assert lab.run(lab.queue.announce(["limit:email"])) == "OK"
    assert lab.run(lab.queue.withdraw("limit", "email", 0.0)) == "WITHDRAWN"


def test_leases_are_extended_and_released(lab, full):
    lab.hire()
    full()
    lab.hire("w2")
    assert not lab.run(lab.queue.heartbeat("w1", 10.0)).lost
    assert lab.run(lab.queue.resign("w1")) == "OK"


def test_progress_is_reported(lab, full):
    job = lab.seed_processing()
    full()
    assert lab.run(lab.queue.report([(job.id, job.token, b"{}", b"[]")])) == ["OK"]


def test_due_jobs_are_promoted(lab, full):
    lab.enqueue(due="+1000")
    lab.seed_retrying(1.0)
    full()
    lab.pass_time(1)
    assert lab.run(lab.queue.promote()).moved == 2
    assert len(lab.standing("next")) == 1


def test_the_jobs_of_a_lost_worker_are_rescued(lab, full):
    job = lab.seed_processing()
    full()
    assert lab.lose().returned == 1
    assert lab.standing("next") == [job.id]


@pytest.mark.parametrize("state", ["next", "pending", "scheduled", "retrying", "processing", "parked"])
def test_jobs_can_be_cancelled(lab, full, state):
    job_id = {
        "next": lab.enqueue,
        "pending": lambda: lab.seed_pending(2)[1],
        "scheduled": lambda: lab.enqueue(due="+1000"),
        "retrying": lab.seed_retrying,
        "processing": lambda: lab.seed_processing().id,
        "parked": lambda: parked(lab),
    }[state]()
    full()
    assert lab.run(lab.queue.cancel(job_id)) == ("CANCELLING" if state == "processing" else "CANCELLED")


def parked(lab, priority="normal"):
    lab.run(lab.queue.pause("email"))
    job_id = lab.enqueue(priority=priority)
    lab.hire()
    assert lab.fetch() == []
    return job_id


def test_an_operator_can_make_room(lab, full):
    dead, other, waiting = lab.seed_failed(), lab.seed_failed(), lab.enqueue()
    full()
    assert lab.run(lab.queue.discard([dead])) == 1
    assert lab.run(lab.queue.prune(0, 0.0, 100)).dead == 1
    assert lab.run(lab.queue.purge("pending")).jobs == 1
    assert {lab.state(job_id) for job_id in (waiting, dead, other)} == {None}


def test_an_operator_can_stop_and_continue(lab, full):
    dead, job_id = lab.seed_failed(), lab.enqueue()
    full()
    assert lab.run(lab.queue.pause()) is True
    assert lab.run(lab.queue.redrive([dead])) == 1
    assert lab.run(lab.queue.resume()) is True
    assert lab.run(lab.queue.set_limit("email", 1.0, 1.0, None)) == "SET"
    assert lab.run(lab.queue.pause("email")) is True
    assert lab.run(lab.queue.resume("email")) is True
    assert {lab.state(job_id), lab.state(dead)} == {"pending"}


def test_a_cancellation_is_continued_although_it_finds_nothing_to_cancel(lab, full):
    lab.seed_pending(2)
    lab.run(lab.queue.start_cancellation("c", ["pending"], "sms"))
    full()
    assert lab.run(lab.queue.continue_cancellations(1000)).next_due is None
    assert lab.redis.hget(lab.keys.cancellation("c"), "state") == b"finished"


def test_jobs_that_are_not_stored_leave_their_batch(lab, full):
    batch_id = lab.open_batch()
    ids = lab.join(batch_id, 2)
    full()
    assert lab.run(lab.queue.leave_batch(batch_id, ids)) == 2


def test_the_queue_drains(lab, full):
    """Jobs that wait, are due, fail, are held by a lost worker: all of them come to their end."""
    ids = [*lab.seed_pending(20), lab.enqueue(due="+1000"), lab.enqueue(after=(lab.enqueue(),))]
    lab.hire("dead")
    lab.fetch("dead", want=3)
    full()
    lab.lose("dead")
    lab.run(lab.queue.promote())
    lab.hire()
    failed_once = set()
    for _ in range(60):
        for job in lab.fetch(want=4):
            if job.id in failed_once or len(failed_once) > 5:
                assert lab.complete(job) == "OK"
            else:
                failed_once.add(job.id)
                assert lab.run(lab.queue.retry("w1", failure(job), 0.5)) == "OK"
        lab.pass_time(0.5)
        lab.run(lab.queue.heartbeat("w1", 10.0))
        lab.run(lab.queue.promote())
    assert {lab.state(job_id) for job_id in ids} == {"completed"}

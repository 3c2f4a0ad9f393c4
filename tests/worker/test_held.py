"""What a worker must not begin, what it must not end too early, and when it must look into its list.

The supervisor's loop does not run here.
"""

import selectors
import time

import pytest
from gopher.worker.children.pool import Pool
from gopher.worker.commands import Commands
from gopher.worker.crew import Crew
from gopher.worker.dispatcher import Dispatcher
from gopher.worker.duties import FIRST_LOOK, Duties
from gopher.worker.lease import Lease
from gopher.worker.outcomes import Outcomes
from gopher.worker.presence import Presence
from gopher.worker.queue_side.clock import ServerClock
from gopher.worker.queue_side.fetcher import Fetcher
from gopher.worker.queue_side.priority_cycle import PriorityCycle
from gopher.worker.queue_side.rhythm import Rhythm
from gopher.worker.queue_side.served_queue import QueueLease, ServedQueue
from gopher.worker.running import Running
from gopher.worker.shutdown import LAST_WORDS, Shutdown
from gopher.worker.worker_info import WorkerInfo

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.announcing import Announcer
from gopher.queue.relay import Relay
from gopher.queue.replies import FetchedJob
from gopher.queue.store import Server
from gopher.server.event_loop import EventLoop
from gopher.server.loop_connection import ALL_BACK
from gopher.telemetry.liveness import HealthFile
from tests.worker.children import new_child

LEASE = 30.0
#: When the server was last heard of.
HEARD = 1000.0


@pytest.fixture
def store(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace, worker_lease=LEASE)) as store:
        yield store


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def event_loop(store, selector):
    return EventLoop(store, selector)


class Parts:
    """A worker of one child that never runs, and of one queue, without a supervisor."""

    def __init__(self, store, event_loop):
        settings, clock = store.settings, ServerClock()
        self.registry = Registry()
        handler("echo", into=self.registry)(lambda job, payload: None)
        queue = store.queue("default")
        self.queue = ServedQueue.open(queue, event_loop, clock, settings, self.registry, with_prelude=False)
        self.queue.lease.heard_at = HEARD
        queues = {queue.name: self.queue}
        self.crew = Crew(Pool(settings, self.registry, list))
        self.child = self.crew.pool.children[1] = new_child()
        info = self.info = WorkerInfo(settings, [*queues], self.registry, clock)
        announcer = Announcer(self.registry, settings.withdraw_after, [*queues])
        presence = Presence(store, event_loop, clock, info, self.crew.pool, queues, announcer)
        self.lease = Lease(store, queues, self.crew, presence, clock, HealthFile(None, LEASE, LEASE), Commands())
        outcomes = Outcomes(settings, queues, self.crew, info, None, None)
        self.dispatcher = Dispatcher(settings, self.registry, queues, self.crew, self.lease, outcomes, clock)

    def running(self, number, job_type="echo"):
        """Return a job that was fetched."""
        job = FetchedJob(f"id-{number}", f"{self.lease.worker_id}.{number}", job_type, "normal", 1, envelope=b"{}")
        return Running(job, "default", self.registry.get(job_type), 3, 30.0, self.lease.worker_id)


@pytest.fixture
def parts(store, event_loop):
    parts = Parts(store, event_loop)
    yield parts
    parts.crew.pool.close(parts.child)


def test_nothing_begins_once_the_lease_has_run_out_unheard(parts):
    """After the machine has slept, the next heartbeat may say that others have these jobs."""
    running = parts.running(1)
    parts.crew.backlog.append(running)
    parts.dispatcher.hand_out(HEARD + LEASE + 0.1)
    assert not parts.child.jobs
    parts.dispatcher.hand_out(HEARD + LEASE - 0.1)
    assert list(parts.child.jobs) == [running]


@pytest.fixture
def extend(parts, event_loop, selector):
    """Sends a heartbeat, and reads its reply after a pause."""

    def extend(*, pause=0.0):
        parts.lease.extend(parts.queue)
        answer(parts, event_loop, selector, pause=pause)

    return extend


def answer(parts, event_loop, selector, *, pause=0.0):
    event_loop.flush(time.monotonic(), 1.0)
    time.sleep(pause)
    while parts.queue.lease.unanswered:
        for key, mask in selector.select(10):
            key.data(mask)


def test_a_worker_that_has_just_started_lets_others_come_back_before_it_takes_their_jobs(parts, extend):
    """The server may have been unavailable for longer than their leases."""
    parts.queue.lease.heard_at = QueueLease().heard_at
    began = time.monotonic()
    extend()
    assert parts.queue.lease.all_back_at >= began + ALL_BACK
    back_at = parts.queue.lease.all_back_at
    extend()
    assert parts.queue.lease.all_back_at == back_at


def test_all_that_a_worker_does_for_others_but_rescuing_begins_at_once(parts, store, event_loop, selector, extend):
    queue = parts.queue.queue
    store.run(queue.heartbeat("lost", 0.001, first=True))
    job = NewJob(new_job_id(), "echo", b"{}", due="+1")
    store.run(queue.enqueue([job]))
    parts.queue.lease.heard_at = QueueLease().heard_at
    extend()
    began, lease = time.monotonic(), parts.queue.lease
    duties = Duties(parts.lease, lambda queue: Relay(queue, lambda call, callback: None, store.queue, {}))
    duties.begin([parts.queue], began)
    assert duties.due_at == began + FIRST_LOOK
    duties.run(duties.due_at, duties.due_at)
    answer(parts, event_loop, selector)
    assert store.client.hget(queue.keys.job(job.id), "state") == b"pending"
    assert store.client.zscore(queue.keys.workers, "lost") is not None
    assert duties.due_at == lease.all_back_at
    duties.run(duties.due_at, duties.due_at)
    answer(parts, event_loop, selector)
    assert store.client.zscore(queue.keys.workers, "lost") is None


def test_a_lease_counts_from_when_it_was_asked_for_however_late_the_reply_is_read(parts, extend):
    extend()
    began = time.monotonic()
    extend(pause=0.3)
    assert began <= parts.queue.lease.heard_at <= time.monotonic() - 0.3


def test_a_worker_that_was_frozen_past_its_shutdown_still_gets_its_last_outcomes_out(parts, event_loop):
    shutdown = Shutdown(parts.crew, {"default": parts.queue}, event_loop, parts.info, 10.0)
    shutdown.stop()
    late = time.monotonic() + 60
    shutdown.enforce(late)
    assert (shutdown.gave_up, shutdown.wake_at()) == (False, late + LAST_WORDS)
    shutdown.enforce(late + LAST_WORDS + 0.1)
    assert shutdown.gave_up


def test_what_the_children_can_not_take_goes_back(parts):
    first, second, third = (parts.running(number) for number in range(3))
    parts.crew.backlog.extend([first, second, third])
    parts.dispatcher.hand_out(HEARD)
    assert list(parts.child.jobs) == [first]
    assert set(parts.queue.settler.held()) == {second, third}
    assert not parts.crew.backlog


def test_nothing_is_handed_out_once_the_worker_is_quiet(parts):
    running = parts.running(1)
    parts.crew.backlog.append(running)
    parts.crew.quiet = True
    parts.dispatcher.hand_out(HEARD)
    assert not parts.child.jobs
    assert parts.queue.settler.held() == [running]


def test_a_job_without_a_handler_is_settled_and_never_given_to_a_child(parts):
    known, unknown = parts.running(1), parts.running(2, "unknown")
    parts.crew.backlog.extend([unknown, known])
    parts.dispatcher.hand_out(HEARD)
    assert list(parts.child.jobs) == [known]
    assert parts.queue.settler.held() == [unknown]


def test_a_worker_that_lost_its_lease_drops_its_jobs_and_continues_under_another_id(parts):
    given, waiting, before = parts.running(1), parts.running(2), parts.lease.worker_id
    parts.crew.backlog.append(given)
    parts.dispatcher.hand_out(HEARD)
    parts.crew.backlog.append(waiting)
    parts.queue.lease.granted = True
    parts.lease.lose()
    assert parts.child.killed == "lost"
    assert not parts.crew.backlog
    assert parts.lease.worker_id != before
    # Nothing is taken under the new id before the server knows it.
    assert not parts.queue.may_take


def test_a_lost_blocking_pop_is_looked_for_at_once_and_when_the_server_must_have_ended_it(store, event_loop):
    """An orphan may be given a job for as long as it waits there, and no poll looks while no child is free."""
    rhythm = Rhythm(poll_interval=5.0, beat=10.0)
    fetcher = Fetcher(store.queue("default"), event_loop, PriorityCycle("strict"), rhythm)

    def looks(now):
        """Return whether it fetches; its fetch is answered at once."""
        if not fetcher.must_fetch(now):
            return False
        fetcher.fetch("w", 1, now, lambda fetched: None)
        fetcher.asked_for = 0
        return True

    assert not looks(100.0)
    fetcher._pop_given_up(100.0)
    assert [looks(now) for now in (100.0, 100.1, 100.0 + rhythm.pop)] == [True, False, False]
    assert [looks(now) for now in (101.1 + rhythm.pop, 101.2 + rhythm.pop, 200.0)] == [True, False, False]

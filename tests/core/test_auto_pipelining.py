"""Threads that ask at the same time share a round trip, and what goes wrong with one of them is its own."""

import os
import signal
import threading
from concurrent.futures import Future

import pytest

from gopher.auto_pipelining import AutoPipeline, Interrupted
from gopher.errors import OutcomeUnknown, QueueUnavailable
from gopher.job import NewJob, new_job_id
from gopher.queue import Queue
from gopher.server import Server
from gopher.settings import Settings
from tests.core.proxy import Proxy
from tests.helpers import wait_until

OTHERS = 5


def enqueue(queue: Queue):
    return queue.enqueue([NewJob(new_job_id(), "email", b'{"payload":{}}')])


class Gate:
    """Stands for the server: holds every round trip until it is opened, and knows who went together."""

    def __init__(self) -> None:
        self.trips: list[int] = []
        self.opened = threading.Event()
        self.error: BaseException | None = None

    def exchange(self, calls):
        self.trips.append(len(calls))
        assert self.opened.wait(10)
        if self.error and len(self.trips) == 1:
            raise self.error
        return list(range(len(calls)))


class Soon(Future):
    """What a thread will return. Nobody waits for it for ever, not even at the end of the tests."""

    def result(self, timeout=10):
        return super().result(timeout)

    def exception(self, timeout=10):
        return super().exception(timeout)


class Threads:
    def submit(self, function, *args, **options) -> Soon:
        soon = Soon()

        def work():
            try:
                soon.set_result(function(*args, **options))
            except BaseException as error:  # noqa: BLE001 - as an executor does
                soon.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return soon


def waiting(pipeline: AutoPipeline) -> int:
    return sum(len(seats) for trips in pipeline._trips.values() for seats in trips._waiting.values())


def under_way(pipeline: AutoPipeline) -> int:
    return sum(len(trips._waiting) for trips in pipeline._trips.values())


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def pipeline(gate):
    pipeline = AutoPipeline(gate.exchange)
    yield pipeline
    # Whatever happened: nobody was forgotten, and the next call finds the way free.
    assert waiting(pipeline) == under_way(pipeline) == 0


@pytest.fixture
def call(direct):
    return enqueue(direct.queue("default"))


@pytest.fixture
def threads():
    return Threads()


@pytest.fixture
def proxy(server):
    with Proxy(server.socket_path) as proxy:
        yield proxy


@pytest.fixture
def direct(redis_url, namespace):
    """The server without anything in between."""
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as direct:
        yield direct


@pytest.fixture
def behind(proxy, namespace):
    """The server behind the proxy. Its first connection is made, and the script is known."""
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=0.5), connections=3) as server:
        server.run(enqueue(server.queue("default")))
        yield server


def enqueued(direct) -> int:
    return int(direct.client.hget(direct.keys.of("default").totals, "enqueued:email:normal")) - 1


def together(threads, proxy, behind, calls) -> list[Soon]:
    """Send a call whose reply takes its time, and others that come meanwhile. Returns theirs, the first one last."""
    proxy.delay(0.3)
    sent = len(proxy.sent)
    first = threads.submit(behind.run_with_others, enqueue(behind.queue("default")))
    wait_until(lambda: len(proxy.sent) > sent)
    others = []
    for call in calls:
        others.append(threads.submit(behind.run_with_others, call))
        wait_until(lambda: waiting(behind._auto_pipeline) == len(others))
    return [*others, first]


# With the server


def test_those_who_come_while_one_is_under_way_go_together(threads, proxy, behind, direct):
    calls = [enqueue(behind.queue("default")) for _ in range(OTHERS)]
    futures = together(threads, proxy, behind, calls)
    assert [future.result().answers for future in futures] == [["NEW"]] * (OTHERS + 1)
    assert [piece.count(b"EVALSHA") for piece in proxy.sent[-2:]] == [1, OTHERS]
    assert enqueued(direct) == OTHERS + 1


def test_each_gets_its_own_reply(threads, proxy, behind):
    known, new = (enqueue(behind.queue("default")) for _ in range(2))
    behind.run(known)
    futures = together(threads, proxy, behind, [new, known, enqueue(behind.queue("default"))])
    assert [future.result().answers for future in futures[:3]] == [["NEW"], ["DUPLICATE"], ["NEW"]]


def test_an_error_reply_is_that_of_one_alone(threads, proxy, behind, direct):
    good = [enqueue(behind.queue("default")) for _ in range(2)]
    bad = good[0]._replace(arguments=())
    futures = together(threads, proxy, behind, [good[0], bad, good[1]])
    assert futures[0].result().answers == futures[2].result().answers == ["NEW"]
    with pytest.raises(QueueUnavailable, match="the server refused the call"):
        futures[1].result()
    assert enqueued(direct) == 3


@pytest.mark.parametrize("size", [0, 10, 60])
def test_all_whose_reply_is_lost_go_again_and_nothing_is_done_twice(threads, proxy, behind, direct, size):
    calls = [enqueue(behind.queue("default")) for _ in range(OTHERS)]
    proxy.cut(size)
    proxy.cut(size)
    futures = [threads.submit(behind.run_with_others, call) for call in calls]
    assert {future.result().answers[0] for future in futures} <= {"NEW", "DUPLICATE"}
    assert enqueued(direct) == OTHERS


def test_who_was_sent_along_knows_that_it_may_have_been_done(threads, proxy, behind):
    futures = together(threads, proxy, behind, [enqueue(behind.queue("default")) for _ in range(OTHERS)])
    for _ in range(100):
        proxy.cut(0)
    for future in futures[:OTHERS]:
        with pytest.raises(OutcomeUnknown):
            future.result()


def test_those_who_find_no_server_know_that_nothing_was_done(threads, tmp_path):
    with Server(Settings(redis_url=f"unix://{tmp_path}/nobody.sock")) as nobody:
        calls = [enqueue(nobody.queue("default")) for _ in range(OTHERS)]
        for future in [threads.submit(nobody.run_with_others, call, patience=0.2) for call in calls]:
            assert type(future.exception()) is QueueUnavailable


# Without it


def test_calls_on_other_keys_do_not_wait(threads, direct, call, gate, pipeline):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.trips == [1])
    other = threads.submit(pipeline.run, enqueue(direct.queue("mail")))
    wait_until(lambda: gate.trips == [1, 1])
    gate.opened.set()
    assert first.result() == other.result() == 0


def test_when_who_leads_is_interrupted_the_others_are_told(threads, gate, pipeline, call):
    gate.error = SystemExit()
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.trips == [1])
    others = [threads.submit(pipeline.run, call) for _ in range(OTHERS)]
    wait_until(lambda: waiting(pipeline) == OTHERS)
    gate.opened.set()
    with pytest.raises(SystemExit):
        first.result()
    assert sorted(other.result() for other in others) == list(range(OTHERS))
    assert gate.trips == [1, OTHERS]


def test_who_goes_with_one_that_is_interrupted_is_not_left_behind(threads, pipeline, gate, call):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.trips == [1])
    others = [threads.submit(pipeline.run, call) for _ in range(OTHERS)]
    wait_until(lambda: waiting(pipeline) == OTHERS)
    exchange = pipeline._trips[os.getpid()]._exchange

    def interrupted(calls):
        exchange(calls)
        raise SystemExit

    pipeline._trips[os.getpid()]._exchange = interrupted
    gate.opened.set()
    assert first.result() == 0
    raised = [type(other.exception()) for other in others]
    assert sorted(raised, key=str) == sorted([SystemExit] + [Interrupted] * (OTHERS - 1), key=str)


class Ringing(Exception):
    """Raised by a signal's handler."""


def test_who_is_interrupted_while_it_waits_is_not_waited_for(threads, gate, pipeline, call):
    def ring(*_):
        raise Ringing

    def ring_soon():
        wait_until(lambda: waiting(pipeline) == 1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        wait_until(lambda: waiting(pipeline) == 0)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        first = threads.submit(pipeline.run, call)
        wait_until(lambda: gate.trips == [1])
        soon = threads.submit(ring_soon)
        with pytest.raises(Ringing):
            pipeline.run(call)
        soon.result()
    finally:
        signal.signal(signal.SIGALRM, before)
    gate.opened.set()
    first.result()
    assert pipeline.run(call) == 0
    assert gate.trips == [1, 1]


def test_who_is_interrupted_as_it_is_told_to_lead_leaves_the_others_to_the_next(threads, gate, pipeline, call):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.trips == [1])
    trips = pipeline._trips[os.getpid()]
    told = trips._board(call)
    others = [threads.submit(pipeline.run, call) for _ in range(OTHERS)]
    wait_until(lambda: waiting(pipeline) == OTHERS + 1)
    gate.opened.set()
    first.result()
    wait_until(lambda: told.party is not None)
    trips._leave(told)
    assert sorted(other.result() for other in others) == list(range(OTHERS))


def test_a_forked_process_waits_for_none_of_its_parents_round_trips(threads, proxy, behind):
    proxy.delay(0.3)
    sent = len(proxy.sent)
    first = threads.submit(behind.run_with_others, enqueue(behind.queue("default")))
    wait_until(lambda: len(proxy.sent) > sent)
    child = os.fork()
    if not child:
        good = False
        try:
            signal.alarm(5)
            good = behind.run_with_others(enqueue(behind.queue("default"))).kind == "OK"
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert first.result().answers == ["NEW"]

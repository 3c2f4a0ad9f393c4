"""Threads that ask at the same time share a round trip, and what goes wrong with one of them is its own."""

import random
import threading
import time
from concurrent.futures import Future

import pytest
from gopher.app.context import Context

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import OutcomeUnknown, QueueUnavailable
from gopher.jobs.job import NewJob, new_job_id
from gopher.jobs.loading import load_handlers
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.server import idle_connections
from gopher.server.pipelining import AutoPipeline, Interrupted
from tests.helpers import wait_until

OTHERS = 5


def enqueue(queue: Queue):
    return queue.enqueue([NewJob(new_job_id(), "email", b'{"payload":{}}')])


class Gate:
    """Stands for the server: holds round trips until they are let go, and knows who went together."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.held: list[threading.Event] = []
        self.interrupts = False
        self._lock = threading.Lock()

    def exchange(self, calls):
        event = threading.Event()
        with self._lock:
            # Whoever sees the batch may let it go.
            self.held.append(event)
            self.batches.append(len(calls))
        assert event.wait(60)
        if self.interrupts:
            raise SystemExit
        return list(range(len(calls)))

    def let_go(self, batch: int) -> None:
        self.held[batch].set()


class Soon(Future):
    """What a thread will return. Nobody waits for it for ever, not even at the end of the tests."""

    def result(self, timeout=60):
        return super().result(timeout)

    def exception(self, timeout=60):
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


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """None of these tests is to go on because a round trip took long, but those that are about it."""
    monkeypatch.setattr("gopher.server.pipelining.LONG", 10.0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("gopher.server.pipelining.LONG", 0.05)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    for event in gate.held:
        event.set()


@pytest.fixture
def pipeline(gate):
    pipeline = AutoPipeline(gate.exchange)
    yield pipeline
    # Whatever happened: nobody was forgotten, and the next call finds the way free.
    wait_until(lambda: pipeline.idle)


@pytest.fixture
def call(direct):
    return enqueue(direct.queue("default"))


@pytest.fixture
def threads():
    return Threads()


@pytest.fixture
def behind(proxy, namespace, monkeypatch):
    """The server behind the proxy. Its first connection is made, and the script is known."""
    # A reply that a busy machine delays is not to count as lost.
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 10.0)
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=10.0), connections=3) as server:
        server.run(enqueue(server.queue("default")))
        yield server


def enqueued(direct) -> int:
    return int(direct.client.hget(direct.keys.for_queue("default").totals, "enqueued:email:normal")) - 1


def gather(threads, proxy, behind, calls, **options) -> tuple[threading.Event, list[Soon]]:
    """Send a call whose reply is kept back until the event is set, and others that come meanwhile."""
    held = hold(threads, proxy, lambda: behind.run_with_others(enqueue(behind.queue("default"))))
    asked = []
    for call in calls:
        asked.append(threads.submit(behind.run_with_others, call, **options))
        wait_until(lambda: behind._auto_pipeline.waiting == len(asked))
    return held, asked


def together(threads, proxy, behind, calls) -> list[Soon]:
    """Have calls share a round trip, behind that of another one."""
    held, asked = gather(threads, proxy, behind, calls)
    held.set()
    return asked


def hold(threads, proxy, send) -> threading.Event:
    """Send something in a thread; its reply is kept back until the event is set."""
    held, sent = proxy.hold(), len(proxy.sent)
    threads.submit(send)
    wait_until(lambda: len(proxy.sent) > sent)
    return held


def batch_under_way(threads, gate, pipeline, call) -> list[Soon]:
    """Return those who are on the second round trip."""
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.batches == [1])
    others = [threads.submit(pipeline.run, call) for _ in range(OTHERS)]
    wait_until(lambda: pipeline.waiting == OTHERS)
    gate.let_go(0)
    first.result()
    wait_until(lambda: gate.batches == [1, OTHERS])
    return others


# With the server


def test_those_who_come_while_one_is_under_way_go_together(threads, proxy, behind, direct):
    calls = [enqueue(behind.queue("default")) for _ in range(OTHERS)]
    asked = together(threads, proxy, behind, calls)
    assert [each.result().answers for each in asked] == [["NEW"]] * OTHERS
    assert [piece.count(b"EVALSHA") for piece in proxy.sent[-2:]] == [1, OTHERS]
    assert enqueued(direct) == OTHERS + 1


def test_each_gets_its_own_reply(threads, proxy, behind):
    known, new, newer = (enqueue(behind.queue("default")) for _ in range(3))
    behind.run(known)
    asked = together(threads, proxy, behind, [new, known, newer])
    assert [each.result().answers for each in asked] == [["NEW"], ["DUPLICATE"], ["NEW"]]


def test_an_error_reply_is_that_of_one_alone(threads, proxy, behind, direct):
    good = [enqueue(behind.queue("default")) for _ in range(2)]
    bad = good[0]._replace(arguments=())
    asked = together(threads, proxy, behind, [good[0], bad, good[1]])
    assert asked[0].result().answers == asked[2].result().answers == ["NEW"]
    with pytest.raises(QueueUnavailable, match="the server rejected the call"):
        asked[1].result()
    assert enqueued(direct) == 3


@pytest.mark.parametrize("size", [0, 10, 60])
def test_all_whose_reply_is_lost_go_again_and_nothing_is_done_twice(threads, proxy, behind, direct, size):
    calls = [enqueue(behind.queue("default")) for _ in range(OTHERS)]
    proxy.cut(size)
    proxy.cut(size)
    asked = [threads.submit(behind.run_with_others, call) for call in calls]
    assert {each.result().answers[0] for each in asked} <= {"NEW", "DUPLICATE"}
    assert enqueued(direct) == OTHERS


def test_a_reply_that_was_read_before_the_others_were_lost_is_known(threads, proxy, behind):
    first = len(b"*1\r\n$2\r\nOK\r\n")
    calls = [enqueue(behind.queue("default")) for _ in range(3)]
    held, asked = gather(threads, proxy, behind, calls, patience=0.1)
    proxy.cut(first)
    for _ in range(100):
        proxy.cut(0)
    held.set()
    assert asked[0].result().answers == ["NEW"]
    assert type(asked[1].exception()) is type(asked[2].exception()) is OutcomeUnknown


def test_who_was_sent_along_knows_that_it_may_have_been_done(threads, proxy, behind):
    calls = [enqueue(behind.queue("default")) for _ in range(OTHERS)]
    held, asked = gather(threads, proxy, behind, calls, patience=0.1)
    for _ in range(100):
        proxy.cut(0)
    held.set()
    assert [type(each.exception()) for each in asked] == [OutcomeUnknown] * OTHERS


def test_those_who_find_no_server_know_that_nothing_was_done(threads, tmp_path):
    with Server(Settings(redis_url=f"unix://{tmp_path}/nobody.sock")) as nobody:
        calls = [enqueue(nobody.queue("default")) for _ in range(OTHERS)]
        asked = [threads.submit(nobody.run_with_others, call, patience=0.2) for call in calls]
        assert [type(each.exception()) for each in asked] == [QueueUnavailable] * OTHERS
        # Each may be raised in a thread of its own.
        assert len({id(error) for error in nobody._outcomes(calls)}) == OTHERS


def test_a_connection_that_hangs_holds_up_no_one_else(threads, proxy, behind, impatient):
    held = hold(threads, proxy, lambda: behind.run_with_others(enqueue(behind.queue("default"))))
    asked = [threads.submit(behind.run_with_others, enqueue(behind.queue("default"))) for _ in range(OTHERS)]
    assert [each.result().answers for each in asked] == [["NEW"]] * OTHERS
    held.set()


JOB = ("math", {"operation": "prime", "number": 7})


def api_client(url, namespace):
    return Context(Settings(redis_url=url, namespace=namespace), load_handlers(["gopher.handlers"])).client


def sharing_client(url, namespace):
    return Client(url, namespace=namespace, auto_pipelining=True)


@pytest.mark.parametrize("make", [api_client, sharing_client])
def test_single_jobs_of_a_client_share_round_trips_and_batches_do_not_wait(threads, proxy, namespace, make):
    with make(proxy.url, namespace) as client:
        client.enqueue(*JOB)
        held = hold(threads, proxy, lambda: client.enqueue(*JOB))
        asked = [threads.submit(client.enqueue, *JOB) for _ in range(OTHERS)]
        wait_until(lambda: client.server._auto_pipeline.waiting == OTHERS)
        client.enqueue_many([dict(zip(("type", "payload"), JOB, strict=True))] * 2)
        held.set()
        assert len({each.result() for each in asked}) == OTHERS
        assert proxy.sent[-1].count(b"EVALSHA") == OTHERS


def test_threads_of_other_clients_do_not_wait_for_each_other(threads, proxy, namespace):
    with Client(proxy.url, namespace=namespace) as client:
        client.enqueue(*JOB)
        held = hold(threads, proxy, lambda: client.enqueue(*JOB))
        assert threads.submit(client.enqueue, *JOB).result()
        held.set()


# Without it


def test_calls_on_other_keys_do_not_wait(threads, direct, call, gate, pipeline):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.batches == [1])
    other = threads.submit(pipeline.run, enqueue(direct.queue("mail")))
    wait_until(lambda: gate.batches == [1, 1])
    gate.let_go(0)
    gate.let_go(1)
    assert first.result() == other.result() == 0


def test_who_does_not_wait_any_longer_takes_along_all_who_wait(threads, call, gate, pipeline, impatient):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.batches == [1])
    others = [threads.submit(pipeline.run, call) for _ in range(OTHERS)]
    wait_until(lambda: sum(gate.batches) == 1 + OTHERS)
    for batch in range(1, len(gate.batches)):
        gate.let_go(batch)
    assert len([other.result() for other in others]) == OTHERS
    assert not first.done()
    gate.let_go(0)
    assert first.result() == 0


def test_a_call_on_a_slow_round_trip_is_not_sent_twice(threads, call, gate, pipeline, monkeypatch):
    monkeypatch.setattr("gopher.server.pipelining.LONG", 0.5)
    others = batch_under_way(threads, gate, pipeline, call)
    time.sleep(0.7)
    assert gate.batches == [1, OTHERS]
    gate.let_go(1)
    assert sorted(other.result() for other in others) == list(range(OTHERS))


def test_a_round_trip_that_ends_late_leaves_those_alone_who_wait_for_the_next(
    threads, call, gate, pipeline, monkeypatch
):
    first = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.batches == [1])
    monkeypatch.setattr("gopher.server.pipelining.LONG", 0.05)
    second = threads.submit(pipeline.run, call)
    wait_until(lambda: gate.batches == [1, 1])
    monkeypatch.setattr("gopher.server.pipelining.LONG", 10.0)
    third = threads.submit(pipeline.run, call)
    wait_until(lambda: pipeline.waiting == 1)
    gate.let_go(0)
    first.result()
    assert (pipeline.waiting, gate.batches) == (1, [1, 1])
    gate.let_go(1)
    second.result()
    wait_until(lambda: gate.batches == [1, 1, 1])
    gate.let_go(2)
    third.result()


def test_when_who_leads_is_interrupted_the_others_are_told(threads, gate, pipeline, call):
    others = batch_under_way(threads, gate, pipeline, call)
    gate.interrupts = True
    gate.let_go(1)
    raised = [type(other.exception()) for other in others]
    assert sorted(raised, key=str) == sorted([SystemExit] + [Interrupted] * (OTHERS - 1), key=str)


@pytest.mark.parametrize("comes_back", [True, False])
def test_who_went_with_one_that_was_interrupted_goes_again(threads, proxy, behind, comes_back):
    exchange = behind._auto_pipeline._exchange

    def interrupted_once(calls):
        if len(calls) == 1:
            return exchange(calls) if comes_back else [ConnectionError()]
        raise SystemExit

    calls = [enqueue(behind.queue("default")) for _ in range(2)]
    held, asked = gather(threads, proxy, behind, calls, patience=0.2)
    behind._auto_pipeline._exchange = interrupted_once
    held.set()
    assert type(asked[0].exception()) is SystemExit
    if comes_back:
        assert asked[1].result().answers == ["NEW"]
    else:
        assert type(asked[1].exception()) is OutcomeUnknown


# All at once


@pytest.mark.parametrize("long", [0.0005, 0.003, 5.0])
def test_each_call_is_sent_once_and_gets_its_own_result(threads, call, monkeypatch, long):
    """Round trips that hang, replies that are errors, threads that are interrupted, on two keys."""
    monkeypatch.setattr("gopher.server.pipelining.LONG", long)
    sent, dice = [], random.Random(long)

    def exchange(calls):
        assert len({each.key for each in calls}) == 1
        sent.extend(each.arguments for each in calls)
        time.sleep(0.03 if dice.random() < 0.1 else dice.uniform(0, 0.002))
        if dice.random() > 0.97:
            raise SystemExit
        return [LookupError(each.arguments) if dice.random() < 0.1 else each.arguments for each in calls]

    pipeline = AutoPipeline(exchange)

    def work(number):
        for place in range(100):
            asked = call._replace(key=dice.choice("aaab"), arguments=(number, place))
            try:
                came = pipeline.run(asked)
            except LookupError as error:
                (came,) = error.args
            except (Interrupted, SystemExit):
                continue
            assert came == asked.arguments

    for each in [threads.submit(work, number) for number in range(8)]:
        each.result()
    assert sorted(sent) == [(number, place) for number in range(8) for place in range(100)]
    assert pipeline.idle

"""Pipelines and blocking pops of an event loop: nothing blocks, what was lost is sent again, once."""

import select
import selectors
import socket
import time

import pytest
from redis import exceptions

from gopher.compat import socket_of
from gopher.config.settings import Settings
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Completion
from gopher.queue.store import Server
from gopher.server import loop_connection as connection_module
from gopher.server import pipeline as pipeline_module
from gopher.server.blocking_pop import FULL_REST, BlockingPop
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop
from gopher.server.loop_connection import REPLY_TIMEOUT, Connection
from gopher.server.pipeline import Pipeline
from tests.helpers import wait_until


@pytest.fixture
def direct(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as direct:
        queue = direct.queue("default")
        # The server knows these scripts from now on.
        direct.run_all([queue.enqueue([]), queue.promote(), queue.heartbeat("w0", 60.0, first=True)])
        direct.run_all([queue.fetch("w0", 1, 1, "hnl", strict=True), queue.complete("w0", [])])
        yield direct


@pytest.fixture
def behind(proxy, namespace):
    with Server(Settings(redis_url=proxy.url, namespace=namespace)) as server:
        yield server


@pytest.fixture
def pipeline(behind, direct):
    pipeline = Pipeline(behind, behind.keys.for_queue("default").prefix)
    yield pipeline
    pipeline.connection.close()


@pytest.fixture
def blocking_pop(behind, direct):
    blocking_pop = BlockingPop(behind, behind.keys.for_queue("default").prefix)
    yield blocking_pop
    blocking_pop.close()


def job():
    return NewJob(new_job_id(), "email", b'{"payload":{}}')


def turn(pipeline, timeout=0.5):
    """Go once round the loop, as worker and scheduler do."""
    now = time.monotonic()
    pipeline.check(now)
    pipeline.flush(now, 0.4)
    if pipeline.connection.connected:
        ready, _, _ = select.select([pipeline.connection.descriptor], [], [], timeout)
        if ready:
            pipeline.readable(time.monotonic())
    else:
        time.sleep(min(max(pipeline.wake_at() - time.monotonic(), 0.0), timeout))


def go_on(pipeline, until, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not until():
        assert time.monotonic() < deadline, "the pipeline never gets there"
        turn(pipeline, 0.2)


def settle(pipeline):
    go_on(pipeline, lambda: pipeline.idle)


def enqueued(direct):
    return int(direct.client.hget(direct.keys.for_queue("default").totals, "enqueued:email:normal") or 0)


# Links


def test_calls_are_answered_in_order_each_as_it_reads(pipeline, behind):
    queue, replies = behind.queue("default"), []
    pipeline.add(queue.enqueue([job()]), replies.append)
    pipeline.add(queue.heartbeat("w1", 60.0, first=True), replies.append)
    pipeline.add(queue.fetch("w1", 1, 1, "hnl", strict=True), replies.append)
    assert not pipeline.idle
    settle(pipeline)
    stored, beat, fetched = replies
    assert (stored.answers, beat.lost, len(fetched.jobs)) == (["NEW"], False, 1)


def test_what_was_added_together_goes_in_one_piece(pipeline, behind, proxy):
    for _ in range(5):
        pipeline.add(behind.queue("default").enqueue([job()]), lambda reply: None)
    settle(pipeline)
    assert len(proxy.sent) == 1


def completions(direct, count):
    """Give a worker so many jobs; return what it tells of each when it is done."""
    queue = direct.queue("default")
    direct.run(queue.enqueue([job() for _ in range(count)]))
    direct.run(queue.heartbeat("w1", 60.0, first=True))
    given = direct.run(queue.fetch("w1", count, 1, "hnl", strict=True)).jobs
    return [Completion(each.id, each.token, 1.0, b"1", b"") for each in given]


def flush_each(pipeline, queue, done, answers):
    """Send a batch for each result, none of them waiting for an answer."""
    for each in done:
        pipeline.add(queue.complete("w1", [each]), answers.append)
        pipeline.flush(time.monotonic(), 0.4)


def test_a_second_batch_follows_at_once_and_a_third_waits_for_an_answer(direct):
    pipeline, answers = Pipeline(direct, direct.keys.for_queue("default").prefix), []
    done = completions(direct, 3)
    direct.client.client_pause(100)
    flush_each(pipeline, direct.queue("default"), done[:1], answers)
    assert pipeline.takes_another
    flush_each(pipeline, direct.queue("default"), done[1:], answers)
    assert not pipeline.takes_another
    assert not answers
    settle(pipeline)
    assert answers == [["OK"]] * 3
    pipeline.connection.close()


@pytest.mark.parametrize("size", [0, 1, 3])
def test_two_batches_whose_replies_are_lost_are_sent_again_in_order(pipeline, behind, proxy, direct, size):
    answers = []
    done = completions(direct, 2)
    # The proxy may see both at once, or one after the other.
    proxy.cut(size)
    proxy.cut(size)
    flush_each(pipeline, behind.queue("default"), done, answers)
    settle(pipeline)
    assert answers[0] == ["ALREADY"]
    assert answers[1] in (["OK"], ["ALREADY"])
    # Each alone.
    holds = [[each.job_id.encode() in sent for each in done] for sent in proxy.sent[-2:]]
    assert holds == [[True, False], [False, True]]
    assert int(direct.client.zcard(direct.keys.for_queue("default").finished)) == 2


def test_scripts_that_were_flushed_are_sent_whole_also_when_two_batches_need_them(direct, monkeypatch):
    """And as the connection is sound, nobody is told that it was lost."""
    said = []
    monkeypatch.setattr(connection_module.log, "warning", lambda event, **fields: said.append(event))
    pipeline, answers = Pipeline(direct, direct.keys.for_queue("default").prefix), []
    done = completions(direct, 2)
    direct.client.script_flush()
    direct.client.client_pause(100)
    flush_each(pipeline, direct.queue("default"), done, answers)
    settle(pipeline)
    assert (answers, said, pipeline.connection.trouble) == ([["OK"], ["OK"]], [], None)
    pipeline.connection.close()


def received(pipeline):
    """Return what the server has sent and nobody has read."""
    sock = socket_of(pipeline.connection.raw)
    ready, _, _ = select.select([sock], [], [], 0)
    return sock.recv(1000, socket.MSG_PEEK) if ready else b""


def test_replies_of_two_batches_that_come_in_one_piece_are_both_taken(direct):
    pipeline, answers = Pipeline(direct, direct.keys.for_queue("default").prefix), []
    done = completions(direct, 2)
    direct.client.client_pause(100)
    flush_each(pipeline, direct.queue("default"), done, answers)
    # Both are there before the first look.
    wait_until(lambda: received(pipeline).count(b"\r\n") >= 2)
    turn(pipeline)
    assert answers == [["OK"], ["OK"]]
    pipeline.connection.close()


def test_a_callback_may_add_what_goes_next(pipeline, behind):
    queue, replies = behind.queue("default"), []

    def again(reply):
        replies.append(reply)
        if len(replies) < 3:
            pipeline.add(queue.promote(), again)

    pipeline.add(queue.promote(), again)
    settle(pipeline)
    assert len(replies) == 3


@pytest.mark.parametrize("size", [0, 1, 7, 11])
def test_a_batch_whose_reply_is_cut_is_sent_again_and_done_once(pipeline, behind, proxy, direct, size):
    replies = []
    pipeline.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.cut(size)
    settle(pipeline)
    assert [reply.answers for reply in replies] == [["DUPLICATE"]]
    assert enqueued(direct) == 1


def test_what_was_under_way_goes_before_what_came_later(pipeline, behind, proxy, direct):
    queue, order = behind.queue("default"), []
    (stored,) = [job()]
    direct.run(direct.queue("default").enqueue([stored]))
    direct.run(direct.queue("default").heartbeat("w1", 60.0, first=True))
    (given,) = direct.run(direct.queue("default").fetch("w1", 1, 1, "hnl", strict=True)).jobs
    done = [Completion(given.id, given.token, 1.0, b"1", b"")]
    pipeline.add(queue.complete("w1", done), order.append)
    proxy.cut(0)
    pipeline.flush(time.monotonic(), 0.4)
    go_on(pipeline, lambda: not pipeline.connection.connected)
    pipeline.add(queue.resign("w1"), order.append)
    settle(pipeline)
    assert order == [["ALREADY"], "OK"]


def test_an_unavailable_server_does_not_block_the_caller(pipeline, behind, proxy):
    proxy.leave()
    replies = []
    pipeline.add(behind.queue("default").promote(), replies.append)
    for _ in range(5):
        turn(pipeline, 0.1)
    assert pipeline.connection.trouble is not None
    assert not pipeline.idle
    assert pipeline.wake_at() < float("inf")
    proxy.away = False
    settle(pipeline)
    assert len(replies) == 1
    assert pipeline.connection.trouble is None


def test_the_first_that_is_answered_again_calls_the_others(behind):
    with selectors.DefaultSelector() as selector:
        event_loop, key = EventLoop(behind, selector), behind.keys.for_queue("default").prefix
        pipeline, blocking_pop = (
            event_loop.pipeline_to(key),
            event_loop.blocking_pop(key, lambda blocking_pop, now: None),
        )
        for _ in range(8):
            blocking_pop.connection.fail(ConnectionError("gone"), time.monotonic())
            pipeline.connection.fail(ConnectionError("gone"), time.monotonic())
        assert blocking_pop.connection.wake_at() > time.monotonic()
        pipeline.add(behind.queue("default").promote(), lambda reply: None)
        settle(pipeline)
        assert blocking_pop.connection.wake_at() < time.monotonic()
        pipeline.connection.close()


def test_an_idle_connection_that_ends_is_noticed_and_replaced(pipeline, behind, proxy):
    replies = []
    pipeline.add(behind.queue("default").promote(), replies.append)
    settle(pipeline)
    proxy.hang_up()
    go_on(pipeline, lambda: not pipeline.connection.connected)
    pipeline.add(behind.queue("default").promote(), replies.append)
    settle(pipeline)
    assert len(replies) == 2


def test_connections_are_told_of_when_they_come_and_go(pipeline, behind, proxy):
    seen = []
    pipeline.connection.opened = lambda descriptor: seen.append(("opened", descriptor))
    pipeline.connection.closed = lambda descriptor: seen.append(("closed", descriptor))
    pipeline.add(behind.queue("default").promote(), lambda reply: None)
    proxy.cut(0)
    settle(pipeline)
    kinds = [kind for kind, _ in seen]
    assert kinds == ["opened", "closed", "opened"]
    assert seen[0][1] == seen[1][1]


def test_scripts_that_were_flushed_are_sent_whole(pipeline, behind, direct):
    queue, replies = behind.queue("default"), []
    direct.client.script_flush()
    pipeline.add(queue.heartbeat("w1", 60.0, first=True), replies.append)
    pipeline.add(queue.enqueue([job()]), replies.append)
    pipeline.add(queue.fetch("w1", 1, 1, "hnl", strict=True), replies.append)
    settle(pipeline)
    beat, stored, fetched = replies
    assert (beat.lost, stored.answers, len(fetched.jobs)) == (False, ["NEW"], 1)


@pytest.mark.parametrize(
    "answer",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-READONLY You can't write against a read only replica.",
        "-MISCONF Errors writing to the AOF file: No space left on device",
        "-BUSY Redis is busy running a script.",
        "-MASTERDOWN Pipeline with MASTER is down",
        "-CLUSTERDOWN The cluster is down",
        "-NOREPLICAS Not enough good replicas to write.",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-ASK 866 127.0.0.1:7001",
        "-MOVED somewhere",
        "-ERR Error running script (call to f_1): @user_script:7: @user_script: 7: -READONLY You can't write",
    ],
)
def test_what_passes_is_waited_for(pipeline, behind, proxy, direct, answer):
    replies = []
    pipeline.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.answer(answer)
    proxy.answer(answer)
    settle(pipeline)
    assert [reply.answers for reply in replies] == [["NEW"]]
    assert enqueued(direct) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "-OOM command not allowed when used memory > 'maxmemory'.",
        "-ERR something else",
        "-WEIRD thing",
        "-",
        "-NOAUTH Authentication required.",
        "-NOPERM User x has no permissions",
    ],
)
def test_other_errors_are_given_to_who_asked(pipeline, behind, proxy, answer):
    replies = []
    pipeline.add(behind.queue("default").promote(), replies.append)
    proxy.answer(answer)
    settle(pipeline)
    assert isinstance(replies[0], exceptions.ResponseError)
    pipeline.add(behind.queue("default").promote(), replies.append)
    settle(pipeline)
    assert replies[1].moved == 0


def test_what_is_refused_goes_with_what_comes_next_and_the_others_are_answered(pipeline, behind, proxy, direct):
    """So a heartbeat that the server takes is not held up by an outcome that it refuses."""
    queue, order = behind.queue("default"), []
    pipeline.add(queue.enqueue([job()]), lambda reply: order.append("refused"))
    pipeline.add(Command("any", ("PING",)), order.append)
    proxy.answer("-READONLY You can't write against a read only replica.\r\n+PONG")
    go_on(pipeline, lambda: order)
    assert (order, pipeline.busy, pipeline.idle) == ([b"PONG"], False, False)
    pipeline.add(queue.heartbeat("w1", 60.0, first=True), lambda reply: order.append("heartbeat"))
    before = len(proxy.sent)
    settle(pipeline)
    assert order == [b"PONG", "refused", "heartbeat"]
    assert len(proxy.sent) == before + 1
    assert enqueued(direct) == 1


@pytest.mark.parametrize("answer", ["+OK", ":7", "$-1", "*1\r\n:7"])
def test_a_reply_that_can_not_be_read_counts_as_an_error_reply(pipeline, behind, proxy, answer):
    replies = []
    pipeline.add(behind.queue("default").heartbeat("w1", 60.0, first=True), replies.append)
    proxy.answer(answer)
    settle(pipeline)
    assert isinstance(replies[0], exceptions.ResponseError)
    assert pipeline.connection.connected


def test_a_call_that_fails_does_not_affect_others(pipeline, behind, direct):
    queue, replies = behind.queue("default"), []
    bad = queue.promote()._replace(arguments=("not a number",))
    pipeline.add(bad, replies.append)
    pipeline.add(queue.enqueue([job()]), replies.append)
    settle(pipeline)
    assert isinstance(replies[0], exceptions.ResponseError)
    assert replies[1].answers == ["NEW"]


def test_a_reply_that_is_overdue_ends_the_connection(pipeline, behind, proxy, direct, monkeypatch):
    monkeypatch.setattr(pipeline_module, "REPLY_TIMEOUT", 0.3)
    replies = []
    pipeline.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.delay(1.0)
    settle(pipeline)
    assert [reply.answers for reply in replies] == [["DUPLICATE"]]
    assert enqueued(direct) == 1


def test_it_reports_when_it_needs_attention(pipeline, behind):
    assert pipeline.wake_at() == float("inf")
    pipeline.add(behind.queue("default").promote(), lambda reply: None)
    assert pipeline.wake_at() <= time.monotonic()
    pipeline.flush(now := time.monotonic(), 0.4)
    assert pipeline.wake_at() == now + REPLY_TIMEOUT
    settle(pipeline)
    assert pipeline.wake_at() == float("inf")


def test_pauses_grow_while_the_server_stays_unavailable(pipeline, behind, proxy):
    proxy.leave()
    pipeline.add(behind.queue("default").promote(), lambda reply: None)
    deadline = time.monotonic() + 1.5
    # On a busy machine the first ones may come late.
    while time.monotonic() < deadline or proxy.connections < 3:
        turn(pipeline, 0.2)
    assert proxy.connections <= 12


# Bells


def ring(blocking_pop, behind, *calls, block=1):
    keys = behind.keys.for_queue("default")
    pop = Command(keys.next, ("BRPOPLPUSH", keys.next, keys.processing("w1"), block))
    return blocking_pop.wait([pop, *calls], block, time.monotonic(), 0.4)


def readable(blocking_pop, timeout=60.0):
    """Return what the blocking pop has brought, None when its connection was lost."""
    while True:
        ready, _, _ = select.select([blocking_pop.connection.descriptor], [], [], timeout)
        assert ready
        replies = blocking_pop.readable(time.monotonic())
        if replies is not None or not blocking_pop.connection.connected:
            return replies


def test_a_blocking_pop_returns_when_a_job_comes_in(blocking_pop, behind, direct):
    ring(blocking_pop, behind, block=60)
    assert blocking_pop.waiting
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    assert readable(blocking_pop) == [stored.id.encode()]
    assert not blocking_pop.waiting


def test_a_blocking_pop_whose_time_runs_out_brings_nothing(blocking_pop, behind):
    ring(blocking_pop, behind)
    assert readable(blocking_pop) == [None]
    assert blocking_pop.connection.connected


def test_a_blocking_pop_waits_once_however_often_it_is_asked(blocking_pop, behind, proxy):
    assert ring(blocking_pop, behind)
    assert not ring(blocking_pop, behind)
    assert readable(blocking_pop) == [None]
    assert len(proxy.sent) == 1


def test_a_blocking_pop_whose_connection_ends_brings_nothing_and_can_be_repeated(blocking_pop, behind, proxy, direct):
    ring(blocking_pop, behind)
    wait_until(lambda: proxy.sent, what="the command to come by")
    proxy.hang_up()
    assert readable(blocking_pop) is None
    assert not blocking_pop.connection.connected
    while not blocking_pop.waiting:
        time.sleep(0.01)
        ring(blocking_pop, behind)
    direct.run(direct.queue("default").enqueue([job()]))
    assert readable(blocking_pop) is not None


def test_a_blocking_pop_that_was_refused_brings_nothing(blocking_pop, behind, proxy):
    proxy.answer("-ERR max requests limit exceeded")
    ring(blocking_pop, behind)
    (refused,) = readable(blocking_pop)
    assert isinstance(refused, exceptions.ResponseError)
    assert blocking_pop.connection.trouble is not None


def test_a_blocking_pop_pauses_and_keeps_its_connection_while_the_server_is_full(blocking_pop, behind, proxy):
    proxy.answer("-OOM command not allowed when used memory > 'maxmemory'.")
    ring(blocking_pop, behind)
    (refused,) = readable(blocking_pop)
    assert isinstance(refused, exceptions.ResponseError)
    now = time.monotonic()
    assert (blocking_pop.connection.connected, blocking_pop.connection.trouble) == (True, None)
    assert not blocking_pop.is_free(now, 0.4)
    assert now < blocking_pop.wake_at() <= now + FULL_REST
    assert blocking_pop.is_free(now + FULL_REST, 0.4)


def begin_one(server, number=1):
    queue = server.queue("default")
    server.run(queue.heartbeat("w1", 60.0, first=True))
    return queue.fetch("w1", 1, number, "hnl", strict=True, behind_pop=True)


def test_calls_behind_a_blocking_pop_run_once_it_returns(blocking_pop, behind, direct):
    call = begin_one(direct)
    ring(blocking_pop, behind, call, block=60)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    popped, fetched = readable(blocking_pop)
    assert popped == stored.id.encode()
    assert [(each.id, each.token) for each in fetched.jobs] == [(stored.id, "w1.b1")]
    assert not blocking_pop.waiting


def test_replies_that_come_apart_are_waited_for(blocking_pop, behind, direct):
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    ring(blocking_pop, behind, Command("other", ("BLPOP", "other", 60)))
    ready, _, _ = select.select([blocking_pop.connection.descriptor], [], [], 5.0)
    assert ready
    assert blocking_pop.readable(time.monotonic()) is None
    assert (blocking_pop.waiting, blocking_pop.connection.connected) == (True, True)
    direct.client.rpush("other", "value")
    assert readable(blocking_pop) == [stored.id.encode(), [b"other", b"value"]]


def test_an_unknown_script_does_not_affect_the_blocking_pop(blocking_pop, behind, direct):
    call = begin_one(direct)
    direct.client.script_flush()
    ring(blocking_pop, behind, call)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    popped, unknown = readable(blocking_pop)
    assert popped == stored.id.encode()
    assert isinstance(unknown, exceptions.NoScriptError)
    assert blocking_pop.connection.connected
    assert blocking_pop.connection.trouble is None


def test_a_job_comes_though_the_pop_before_it_was_refused(blocking_pop, behind, direct):
    """A full server takes no BRPOPLPUSH, and lets the fetch through."""
    call = begin_one(direct)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    bad = Command("any", ("BRPOPLPUSH", "too few"))
    blocking_pop.wait([bad, call], 1, time.monotonic(), 0.4)
    refused, fetched = readable(blocking_pop)
    assert isinstance(refused, exceptions.ResponseError)
    assert [each.id for each in fetched.jobs] == [stored.id]


@pytest.mark.parametrize("how", ["cut", "close", "overdue"])
def test_a_waiting_caller_is_told_when_the_blocking_pop_is_given_up(blocking_pop, behind, proxy, how):
    told = []
    blocking_pop.given_up = lambda: told.append(how)
    ring(blocking_pop, behind)
    wait_until(lambda: proxy.sent, what="the command to come by")
    if how == "cut":
        proxy.hang_up()
        assert readable(blocking_pop) is None
    elif how == "close":
        blocking_pop.close()
    else:
        blocking_pop.check(time.monotonic() + 2 + REPLY_TIMEOUT)
    assert told == [how]
    assert not blocking_pop.waiting
    blocking_pop.close()
    assert told == [how], "told again though nothing was under way"


def test_a_blocking_pop_that_should_have_ended_long_ago_is_given_up(blocking_pop, behind):
    before = time.monotonic()
    ring(blocking_pop, behind, block=2)
    blocking_pop.check(before + 2 + REPLY_TIMEOUT - 0.1)
    assert blocking_pop.waiting
    blocking_pop.check(time.monotonic() + 2 + REPLY_TIMEOUT + 0.1)
    assert not blocking_pop.waiting
    assert not blocking_pop.connection.connected


def test_a_job_that_a_lost_reply_had_brought_is_a_stray_of_the_worker(blocking_pop, behind, proxy, direct):
    queue = direct.queue("default")
    direct.run(queue.heartbeat("w1", 60.0, first=True))
    stored = job()
    direct.run(queue.enqueue([stored]))
    proxy.cut(0)
    ring(blocking_pop, behind)
    assert readable(blocking_pop) is None
    assert [each.id for each in direct.run(queue.fetch("w1", 1, 1, "hnl", strict=True)).jobs] == [stored.id]


def test_the_loop_pauses_after_a_slow_connection_attempt(namespace):
    """Else it would do nothing but connect to a server that says nothing."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"redis://:secret@127.0.0.1:{mute.getsockname()[1]}"
        with Server(Settings(redis_url=url, namespace=namespace)) as server:
            connection = Connection(server, "key")
            began = time.monotonic()
            assert not connection.connect(began, 0.1)
            assert connection.wake_at() > began + 0.1

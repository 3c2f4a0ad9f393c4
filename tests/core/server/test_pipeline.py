"""Links and bells of an event loop: nothing blocks, what was lost is sent again, once."""

import select
import selectors
import socket
import time

import pytest
from redis import exceptions

from gopher.config.settings import Settings
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.moves import Completion
from gopher.queue.store import Server
from gopher.server import pipeline as link_module
from gopher.server.calls import Command
from gopher.server.event_loop import Wires
from gopher.server.pipeline import Bell, Link, Wire
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
def link(behind, direct):
    link = Link(behind, behind.keys.of("default").prefix)
    yield link
    link.wire.close()


@pytest.fixture
def bell(behind, direct):
    bell = Bell(behind, behind.keys.of("default").prefix)
    yield bell
    bell.close()


def job():
    return NewJob(new_job_id(), "email", b'{"payload":{}}')


def turn(link, timeout=0.5):
    """Go once round the loop, as worker and scheduler do."""
    now = time.monotonic()
    link.check(now)
    link.flush(now, 0.4)
    if link.wire.connected:
        ready, _, _ = select.select([link.wire.descriptor], [], [], timeout)
        if ready:
            link.readable(time.monotonic())
    else:
        time.sleep(min(max(link.wake_at() - time.monotonic(), 0.0), timeout))


def go_on(link, until, timeout=8.0):
    deadline = time.monotonic() + timeout
    while not until():
        assert time.monotonic() < deadline, "the link never gets there"
        turn(link, 0.2)


def settle(link):
    go_on(link, lambda: link.idle)


def enqueued(direct):
    return int(direct.client.hget(direct.keys.of("default").totals, "enqueued:email:normal") or 0)


# Links


def test_calls_are_answered_in_order_each_as_it_reads(link, behind):
    queue, replies = behind.queue("default"), []
    link.add(queue.enqueue([job()]), replies.append)
    link.add(queue.heartbeat("w1", 60.0, first=True), replies.append)
    link.add(queue.fetch("w1", 1, 1, "hnl", strict=True), replies.append)
    assert not link.idle
    settle(link)
    stored, beat, fetched = replies
    assert (stored.answers, beat.lost, len(fetched.jobs)) == (["NEW"], False, 1)


def test_what_was_added_together_goes_in_one_piece(link, behind, proxy):
    for _ in range(5):
        link.add(behind.queue("default").enqueue([job()]), lambda reply: None)
    settle(link)
    assert len(proxy.sent) == 1


def completions(direct, count):
    """Give a worker so many jobs; return what it tells of each when it is done."""
    queue = direct.queue("default")
    direct.run(queue.enqueue([job() for _ in range(count)]))
    direct.run(queue.heartbeat("w1", 60.0, first=True))
    given = direct.run(queue.fetch("w1", count, 1, "hnl", strict=True)).jobs
    return [Completion(each.id, each.token, 1.0, b"1", b"") for each in given]


def flush_each(link, queue, done, answers):
    """Send a batch for each result, none of them waiting for an answer."""
    for each in done:
        link.add(queue.complete("w1", [each]), answers.append)
        link.flush(time.monotonic(), 0.4)


def test_a_second_batch_follows_at_once_and_a_third_waits_for_an_answer(direct):
    link, answers = Link(direct, direct.keys.of("default").prefix), []
    done = completions(direct, 3)
    direct.client.client_pause(100)
    flush_each(link, direct.queue("default"), done[:1], answers)
    assert link.takes_another
    flush_each(link, direct.queue("default"), done[1:], answers)
    assert not link.takes_another
    assert not answers
    settle(link)
    assert answers == [["OK"]] * 3
    link.wire.close()


@pytest.mark.parametrize("size", [0, 1, 3])
def test_two_batches_whose_replies_are_lost_are_sent_again_in_order(link, behind, proxy, direct, size):
    answers = []
    done = completions(direct, 2)
    # The proxy may see both at once, or one after the other.
    proxy.cut(size)
    proxy.cut(size)
    flush_each(link, behind.queue("default"), done, answers)
    settle(link)
    assert answers[0] == ["ALREADY"]
    assert answers[1] in (["OK"], ["ALREADY"])
    # Each alone.
    holds = [[each.job_id.encode() in sent for each in done] for sent in proxy.sent[-2:]]
    assert holds == [[True, False], [False, True]]
    assert int(direct.client.zcard(direct.keys.of("default").finished)) == 2


def test_scripts_that_were_flushed_are_sent_whole_also_when_two_batches_need_them(direct, monkeypatch):
    """And as the connection is sound, nobody is told that it was lost."""
    said = []
    monkeypatch.setattr(link_module.log, "warning", lambda event, **fields: said.append(event))
    link, answers = Link(direct, direct.keys.of("default").prefix), []
    done = completions(direct, 2)
    direct.client.script_flush()
    direct.client.client_pause(100)
    flush_each(link, direct.queue("default"), done, answers)
    settle(link)
    assert (answers, said, link.wire.trouble) == ([["OK"], ["OK"]], [], None)
    link.wire.close()


def test_replies_of_two_batches_that_come_in_one_piece_are_both_taken(direct):
    link, answers = Link(direct, direct.keys.of("default").prefix), []
    done = completions(direct, 2)
    direct.client.client_pause(100)
    flush_each(link, direct.queue("default"), done, answers)
    # Both are there before the first look.
    time.sleep(0.3)
    turn(link)
    assert answers == [["OK"], ["OK"]]
    link.wire.close()


def test_a_callback_may_add_what_goes_next(link, behind):
    queue, replies = behind.queue("default"), []

    def again(reply):
        replies.append(reply)
        if len(replies) < 3:
            link.add(queue.promote(), again)

    link.add(queue.promote(), again)
    settle(link)
    assert len(replies) == 3


@pytest.mark.parametrize("size", [0, 1, 7, 11])
def test_a_batch_whose_reply_is_cut_is_sent_again_and_done_once(link, behind, proxy, direct, size):
    replies = []
    link.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.cut(size)
    settle(link)
    assert [reply.answers for reply in replies] == [["DUPLICATE"]]
    assert enqueued(direct) == 1


def test_what_was_under_way_goes_before_what_came_later(link, behind, proxy, direct):
    queue, order = behind.queue("default"), []
    (stored,) = [job()]
    direct.run(direct.queue("default").enqueue([stored]))
    direct.run(direct.queue("default").heartbeat("w1", 60.0, first=True))
    (given,) = direct.run(direct.queue("default").fetch("w1", 1, 1, "hnl", strict=True)).jobs
    done = [Completion(given.id, given.token, 1.0, b"1", b"")]
    link.add(queue.complete("w1", done), order.append)
    proxy.cut(0)
    link.flush(time.monotonic(), 0.4)
    go_on(link, lambda: not link.wire.connected)
    link.add(queue.resign("w1"), order.append)
    settle(link)
    assert order == [["ALREADY"], "OK"]


def test_a_server_that_is_away_stops_nobody(link, behind, proxy):
    proxy.leave()
    replies = []
    link.add(behind.queue("default").promote(), replies.append)
    for _ in range(5):
        turn(link, 0.1)
    assert link.wire.trouble is not None
    assert not link.idle
    assert link.wake_at() < float("inf")
    proxy.away = False
    settle(link)
    assert len(replies) == 1
    assert link.wire.trouble is None


def test_the_first_that_is_answered_again_calls_the_others(behind):
    with selectors.DefaultSelector() as selector:
        wires, key = Wires(behind, selector), behind.keys.of("default").prefix
        link, bell = wires.link_to(key), wires.bell(key, lambda bell, now: None)
        for _ in range(8):
            bell.wire.fail(ConnectionError("gone"), time.monotonic())
            link.wire.fail(ConnectionError("gone"), time.monotonic())
        assert bell.wire.wake_at() > time.monotonic()
        link.add(behind.queue("default").promote(), lambda reply: None)
        settle(link)
        assert bell.wire.wake_at() < time.monotonic()
        link.wire.close()


def test_a_connection_that_ends_while_nothing_is_asked_is_noticed_and_made_anew(link, behind, proxy):
    replies = []
    link.add(behind.queue("default").promote(), replies.append)
    settle(link)
    proxy.hang_up()
    go_on(link, lambda: not link.wire.connected)
    link.add(behind.queue("default").promote(), replies.append)
    settle(link)
    assert len(replies) == 2


def test_connections_are_told_of_when_they_come_and_go(link, behind, proxy):
    seen = []
    link.wire.opened = lambda descriptor: seen.append(("opened", descriptor))
    link.wire.closed = lambda descriptor: seen.append(("closed", descriptor))
    link.add(behind.queue("default").promote(), lambda reply: None)
    proxy.cut(0)
    settle(link)
    kinds = [kind for kind, _ in seen]
    assert kinds == ["opened", "closed", "opened"]
    assert seen[0][1] == seen[1][1]


def test_scripts_that_were_flushed_are_sent_whole(link, behind, direct):
    queue, replies = behind.queue("default"), []
    direct.client.script_flush()
    link.add(queue.heartbeat("w1", 60.0, first=True), replies.append)
    link.add(queue.enqueue([job()]), replies.append)
    link.add(queue.fetch("w1", 1, 1, "hnl", strict=True), replies.append)
    settle(link)
    beat, stored, fetched = replies
    assert (beat.lost, stored.answers, len(fetched.jobs)) == (False, ["NEW"], 1)


@pytest.mark.parametrize(
    "answer",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-READONLY You can't write against a read only replica.",
        "-MISCONF Errors writing to the AOF file: No space left on device",
        "-BUSY Redis is busy running a script.",
        "-MASTERDOWN Link with MASTER is down",
        "-CLUSTERDOWN The cluster is down",
        "-NOREPLICAS Not enough good replicas to write.",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-ASK 866 127.0.0.1:7001",
        "-MOVED somewhere",
        "-ERR Error running script (call to f_1): @user_script:7: @user_script: 7: -READONLY You can't write",
    ],
)
def test_what_passes_is_waited_for(link, behind, proxy, direct, answer):
    replies = []
    link.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.answer(answer)
    proxy.answer(answer)
    settle(link)
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
def test_other_errors_are_given_to_who_asked(link, behind, proxy, answer):
    replies = []
    link.add(behind.queue("default").promote(), replies.append)
    proxy.answer(answer)
    settle(link)
    assert isinstance(replies[0], exceptions.ResponseError)
    link.add(behind.queue("default").promote(), replies.append)
    settle(link)
    assert replies[1].moved == 0


def test_what_is_refused_goes_with_what_comes_next_and_the_others_are_answered(link, behind, proxy, direct):
    """So a heartbeat that the server takes is not held up by an outcome that it refuses."""
    queue, order = behind.queue("default"), []
    link.add(queue.enqueue([job()]), lambda reply: order.append("refused"))
    link.add(Command("any", ("PING",)), order.append)
    proxy.answer("-READONLY You can't write against a read only replica.\r\n+PONG")
    go_on(link, lambda: order)
    assert (order, link.busy, link.idle) == ([b"PONG"], False, False)
    link.add(queue.heartbeat("w1", 60.0, first=True), lambda reply: order.append("heartbeat"))
    before = len(proxy.sent)
    settle(link)
    assert order == [b"PONG", "refused", "heartbeat"]
    assert len(proxy.sent) == before + 1
    assert enqueued(direct) == 1


@pytest.mark.parametrize("answer", ["+OK", ":7", "$-1", "*1\r\n:7"])
def test_a_reply_that_can_not_be_read_counts_as_an_error_reply(link, behind, proxy, answer):
    replies = []
    link.add(behind.queue("default").heartbeat("w1", 60.0, first=True), replies.append)
    proxy.answer(answer)
    settle(link)
    assert isinstance(replies[0], exceptions.ResponseError)
    assert link.wire.connected


def test_one_call_that_fails_does_not_harm_its_neighbours(link, behind, direct):
    queue, replies = behind.queue("default"), []
    bad = queue.promote()._replace(arguments=("not a number",))
    link.add(bad, replies.append)
    link.add(queue.enqueue([job()]), replies.append)
    settle(link)
    assert isinstance(replies[0], exceptions.ResponseError)
    assert replies[1].answers == ["NEW"]


def test_a_reply_that_is_overdue_ends_the_connection(link, behind, proxy, direct, monkeypatch):
    monkeypatch.setattr(link_module, "REPLY_TIMEOUT", 0.3)
    replies = []
    link.add(behind.queue("default").enqueue([job()]), replies.append)
    proxy.delay(1.0)
    settle(link)
    assert [reply.answers for reply in replies] == [["DUPLICATE"]]
    assert enqueued(direct) == 1


def test_it_says_when_it_wants_to_be_looked_at(link, behind):
    assert link.wake_at() == float("inf")
    link.add(behind.queue("default").promote(), lambda reply: None)
    assert link.wake_at() <= time.monotonic()
    link.flush(now := time.monotonic(), 0.4)
    assert link.wake_at() == now + link_module.REPLY_TIMEOUT
    settle(link)
    assert link.wake_at() == float("inf")


def test_pauses_grow_while_the_server_stays_away(link, behind, proxy):
    proxy.leave()
    link.add(behind.queue("default").promote(), lambda reply: None)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        turn(link, 0.2)
    assert 3 <= proxy.connections <= 12


# Bells


def ring(bell, behind, *calls, block=1):
    keys = behind.keys.of("default")
    pop = Command(keys.next, ("BRPOPLPUSH", keys.next, keys.processing("w1"), block))
    return bell.wait([pop, *calls], block, time.monotonic(), 0.4)


def readable(bell, timeout=5.0):
    """Return what the bell has brought, None when its connection was lost."""
    while True:
        ready, _, _ = select.select([bell.wire.descriptor], [], [], timeout)
        assert ready
        replies = bell.readable(time.monotonic())
        if replies is not None or not bell.wire.connected:
            return replies


def test_a_bell_rings_when_a_job_comes_in(bell, behind, direct):
    ring(bell, behind)
    assert bell.waiting
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    assert readable(bell) == [stored.id.encode()]
    assert not bell.waiting


def test_a_bell_whose_time_runs_out_brings_nothing(bell, behind):
    ring(bell, behind)
    assert readable(bell) == [None]
    assert bell.wire.connected


def test_a_bell_waits_once_however_often_it_is_asked(bell, behind, proxy):
    assert ring(bell, behind)
    assert not ring(bell, behind)
    assert readable(bell) == [None]
    assert len(proxy.sent) == 1


def test_a_bell_whose_connection_ends_brings_nothing_and_can_be_rung_again(bell, behind, proxy, direct):
    ring(bell, behind)
    wait_until(lambda: proxy.sent, what="the command to come by")
    proxy.hang_up()
    assert readable(bell) is None
    assert not bell.wire.connected
    while not bell.waiting:
        time.sleep(0.01)
        ring(bell, behind)
    direct.run(direct.queue("default").enqueue([job()]))
    assert readable(bell) is not None


def test_a_bell_that_was_refused_brings_nothing(bell, behind, proxy):
    proxy.answer("-ERR max requests limit exceeded")
    ring(bell, behind)
    (refused,) = readable(bell)
    assert isinstance(refused, exceptions.ResponseError)
    assert bell.wire.trouble is not None


def test_a_bell_rests_and_keeps_its_connection_while_the_server_is_full(bell, behind, proxy):
    proxy.answer("-OOM command not allowed when used memory > 'maxmemory'.")
    ring(bell, behind)
    (refused,) = readable(bell)
    assert isinstance(refused, exceptions.ResponseError)
    now = time.monotonic()
    assert (bell.wire.connected, bell.wire.trouble) == (True, None)
    assert not bell.is_free(now, 0.4)
    assert now < bell.wake_at() <= now + link_module.FULL_REST
    assert bell.is_free(now + link_module.FULL_REST, 0.4)


def begin_one(server, number=1):
    queue = server.queue("default")
    server.run(queue.heartbeat("w1", 60.0, first=True))
    return queue.fetch("w1", 1, number, "hnl", strict=True, behind_bell=True)


def test_what_stands_behind_a_bell_is_done_once_it_rings(bell, behind, direct):
    call = begin_one(direct)
    ring(bell, behind, call)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    popped, fetched = readable(bell)
    assert popped == stored.id.encode()
    assert [(each.id, each.token) for each in fetched.jobs] == [(stored.id, "w1.b1")]
    assert not bell.waiting


def test_replies_that_come_apart_are_waited_for(bell, behind, direct):
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    ring(bell, behind, Command("other", ("BLPOP", "other", 0.3)))
    ready, _, _ = select.select([bell.wire.descriptor], [], [], 5.0)
    assert ready
    assert bell.readable(time.monotonic()) is None
    assert (bell.waiting, bell.wire.connected) == (True, True)
    assert readable(bell) == [stored.id.encode(), None]


def test_a_script_that_the_server_does_not_know_is_no_trouble_of_the_bell(bell, behind, direct):
    call = begin_one(direct)
    direct.client.script_flush()
    ring(bell, behind, call)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    popped, unknown = readable(bell)
    assert popped == stored.id.encode()
    assert isinstance(unknown, exceptions.NoScriptError)
    assert bell.wire.connected
    assert bell.wire.trouble is None


def test_a_job_comes_though_the_pop_before_it_was_refused(bell, behind, direct):
    """A full server takes no BRPOPLPUSH, and lets the fetch through."""
    call = begin_one(direct)
    stored = job()
    direct.run(direct.queue("default").enqueue([stored]))
    bad = Command("any", ("BRPOPLPUSH", "too few"))
    bell.wait([bad, call], 1, time.monotonic(), 0.4)
    refused, fetched = readable(bell)
    assert isinstance(refused, exceptions.ResponseError)
    assert [each.id for each in fetched.jobs] == [stored.id]


@pytest.mark.parametrize("how", ["cut", "close", "overdue"])
def test_who_waits_is_told_when_the_bell_is_given_up(bell, behind, proxy, how):
    told = []
    bell.given_up = lambda: told.append(how)
    ring(bell, behind)
    wait_until(lambda: proxy.sent, what="the command to come by")
    if how == "cut":
        proxy.hang_up()
        assert readable(bell) is None
    elif how == "close":
        bell.close()
    else:
        bell.check(time.monotonic() + 2 + link_module.REPLY_TIMEOUT)
    assert told == [how]
    assert not bell.waiting
    bell.close()
    assert told == [how], "told again though nothing was under way"


def test_a_bell_that_should_have_ended_long_ago_is_given_up(bell, behind):
    ring(bell, behind, block=2)
    now = time.monotonic()
    bell.check(now + 2 + link_module.REPLY_TIMEOUT - 0.1)
    assert bell.waiting
    bell.check(now + 2 + link_module.REPLY_TIMEOUT + 0.1)
    assert not bell.waiting
    assert not bell.wire.connected


def test_a_job_that_a_lost_reply_had_brought_is_a_stray_of_the_worker(bell, behind, proxy, direct):
    queue = direct.queue("default")
    direct.run(queue.heartbeat("w1", 60.0, first=True))
    stored = job()
    direct.run(queue.enqueue([stored]))
    proxy.cut(0)
    ring(bell, behind)
    assert readable(bell) is None
    assert [each.id for each in direct.run(queue.fetch("w1", 1, 1, "hnl", strict=True)).jobs] == [stored.id]


def test_a_loop_has_its_pause_after_a_try_to_connect_that_took_long(namespace):
    """Else it would do nothing but connect to a server that says nothing."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"redis://:secret@127.0.0.1:{mute.getsockname()[1]}"
        with Server(Settings(redis_url=url, namespace=namespace)) as server:
            wire = Wire(server, "key")
            began = time.monotonic()
            assert not wire.connect(began, 0.1)
            assert wire.wake_at() > began + 0.1

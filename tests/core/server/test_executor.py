"""Calls of scripts: repeated until they are answered, done once, and what their errors mean."""

import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from redis import exceptions

from gopher.base.pauses import pauses
from gopher.config.settings import Settings
from gopher.errors import (
    ConfigurationError,
    GopherError,
    OutcomeUnknown,
    QueueBusy,
    QueueFull,
    QueueUnavailable,
    StorageFull,
)
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Completion
from gopher.queue.store import Server
from gopher.server import idle_connections
from gopher.server.embedded import EmbeddedServer
from tests.helpers import wait_until


@pytest.fixture
def behind(proxy, namespace, monkeypatch):
    """The server behind the proxy, over one connection. No reply counts as lost because the machine is busy."""
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 10.0)
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=10.0), connections=1) as server:
        yield server


@pytest.fixture
def own():
    """A server that a test may spoil."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-own-"))
    try:
        with EmbeddedServer(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def job():
    return NewJob(new_job_id(), "email", b'{"payload":{}}')


def enqueue(server, **options):
    return server.run(server.queue("default").enqueue([job()]), **options)


def enqueued(direct):
    return int(direct.client.hget(direct.keys.for_queue("default").totals, "enqueued:email:normal") or 0)


# A lost reply


@pytest.mark.parametrize("size", [0, 1, 4, 8, 11])
def test_a_call_whose_reply_is_cut_is_repeated_and_done_once(proxy, behind, direct, size):
    enqueue(behind)
    proxy.cut(size)
    reply = enqueue(behind)
    assert reply.answers == ["DUPLICATE"]
    assert enqueued(direct) == 2
    assert proxy.connections == 2


def test_a_call_that_never_arrives_is_repeated(proxy, behind, direct):
    enqueue(behind)
    proxy.drop()
    assert enqueue(behind).answers == ["NEW"]
    assert enqueued(direct) == 2


def test_a_call_is_repeated_as_often_as_it_takes(proxy, behind, direct):
    for _ in range(3):
        proxy.cut(0)
        proxy.drop()
    enqueue(behind)
    assert enqueued(direct) == 1
    assert proxy.connections == 7


def test_a_reply_that_is_too_late_counts_as_lost(proxy, namespace, direct):
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=0.5), connections=1) as server:
        enqueue(server)
        proxy.delay(0.8)
        assert enqueue(server).answers == ["DUPLICATE"]
    assert enqueued(direct) == 2


def test_after_a_timeout_another_connection_is_tried_although_no_time_is_left(proxy, namespace):
    """The first one may have been forgotten on the way, and this process may have had no processor meanwhile."""
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=0.5), connections=1) as server:
        enqueue(server)
        proxy.delay(0.8)
        assert enqueue(server, patience=0.1).answers == ["DUPLICATE"]
        proxy.delay(0.8)
        with pytest.raises(OutcomeUnknown):
            enqueue(server, patience=0)


@pytest.fixture
def hung():
    """The URL of a server to which one can connect, and that takes and says nothing."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/hung.sock")
        listener.listen()
        yield f"unix://{folder}/hung.sock"


def given_up(server, call):
    """Run a call once; return how long it took to give up, and what for."""
    start = time.monotonic()
    with pytest.raises(OutcomeUnknown) as caught:
        server.run(call, patience=0)
    return time.monotonic() - start, type(caught.value.__cause__)


def test_a_server_that_hangs_is_given_up_in_time_on_a_connection_that_was_at_hand(proxy, namespace):
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=0.3)) as server:
        enqueue(server)
        proxy.delay(3.0)
        took, cause = given_up(server, server.queue("default").enqueue([job()]))
        assert (0.3 <= took < 2.9, cause) == (True, exceptions.TimeoutError)
        assert proxy.connections == 1


@pytest.mark.parametrize("size", [10, 4_000_000])
def test_a_server_that_hangs_is_given_up_in_time_while_it_is_sent_to_or_heard(hung, namespace, size):
    with Server(Settings(redis_url=hung, namespace=namespace, redis_timeout=0.3)) as server:
        call = server.queue("default").enqueue([NewJob(new_job_id(), "email", b"x" * size)])
        took, cause = given_up(server, call)
        assert (0.3 <= took < 10, cause) == (True, exceptions.TimeoutError)


def test_a_batch_is_repeated_as_a_whole_and_done_once(proxy, behind, direct):
    queue = behind.queue("default")
    calls = [
        queue.heartbeat("w1", 60.0, first=True),
        queue.enqueue([job()]),
        queue.fetch("w1", 1, 1, "hnl", strict=True),
    ]
    # So that the server knows the scripts: it can't do what it doesn't know.
    behind.run_all([queue.enqueue([]), queue.promote(), queue.complete("w1", []), queue.heartbeat("w0", 60.0)])
    behind.run(queue.fetch("w0", 1, 1, "hnl", strict=True))
    proxy.cut(40)
    beat, stored, fetched = behind.run_all(calls)
    assert (beat.lost, stored.answers, len(fetched.jobs)) == (False, ["DUPLICATE"], 1)
    done = [Completion(fetched.jobs[0].id, fetched.jobs[0].token, 1.0, b"1", b"")]
    proxy.cut(0)
    assert behind.run(queue.complete("w1", done)) == ["ALREADY"]
    totals = direct.client.hgetall(direct.keys.for_queue("default").totals)
    assert totals[b"completed:email"] == b"1"


# A server that stays away


def test_the_outcome_is_unknown_when_the_server_stays_unavailable_after_it_was_sent(proxy, behind, direct):
    enqueue(behind)
    proxy.cut(0)
    proxy.away = True
    with pytest.raises(OutcomeUnknown, match="may have been executed") as caught:
        enqueue(behind, patience=0.3)
    assert caught.value.code == "outcome_unknown"
    assert enqueued(direct) == 2


def test_a_server_that_ends_every_connection_is_unavailable(proxy, behind, direct):
    proxy.leave()
    with pytest.raises(QueueUnavailable):
        enqueue(behind, patience=0.3)
    assert enqueued(direct) == 0


def test_a_refused_connection_is_unavailable(namespace):
    with Server(Settings(redis_url="unix:///nowhere/server.sock", namespace=namespace)) as server:
        with pytest.raises(QueueUnavailable, match="unreachable") as caught:
            enqueue(server, patience=0.2)
        assert type(caught.value) is QueueUnavailable


def test_it_gives_up_after_its_patience(namespace):
    with Server(Settings(redis_url="unix:///nowhere/server.sock", namespace=namespace)) as server:
        start = time.monotonic()
        with pytest.raises(QueueUnavailable):
            enqueue(server, patience=0.5)
        assert 0.1 < time.monotonic() - start < 5.0


def test_a_server_that_comes_back_in_time_is_waited_for(proxy, behind):
    proxy.leave()
    threading.Timer(0.3, setattr, (proxy, "away", False)).start()
    assert enqueue(behind, patience=5.0).answers in (["NEW"], ["DUPLICATE"])


def test_a_restart_of_the_server_is_not_noticed(own, namespace):
    with Server(Settings(redis_url=own.url, namespace=namespace)) as server:
        enqueue(server)
        own.stop()
        own.start()
        assert enqueue(server).answers == ["NEW"]


# A server that forgot the scripts


def test_flushed_scripts_are_not_noticed(direct):
    enqueue(direct)
    direct.client.script_flush()
    assert enqueue(direct).answers == ["NEW"]


def test_flushed_scripts_are_not_noticed_in_a_batch(direct):
    queue = direct.queue("default")
    direct.client.script_flush()
    direct.run(queue.enqueue([job()]))
    beat, stored, fetched = direct.run_all(
        [
            queue.heartbeat("w1", 60.0, first=True),
            queue.enqueue([job()]),
            queue.fetch("w1", 1, 1, "hnl", strict=True),
        ]
    )
    assert (beat.lost, stored.answers, len(fetched.jobs)) == (False, ["NEW"], 1)


def test_a_lost_reply_after_a_flush_is_repeated_too(proxy, behind, direct):
    enqueue(behind)
    direct.client.script_flush()
    proxy.cut(3)
    assert enqueue(behind).answers == ["NEW"]
    assert enqueued(direct) == 2


# Answers that are errors

ANSWERS = {
    "-OOM command not allowed when used memory > 'maxmemory'.": (QueueFull, "queue_full"),
    "-ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed": (QueueFull, "queue_full"),
    "-MISCONF Errors writing to the AOF file: No space left on device": (StorageFull, "storage_full"),
    "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": (QueueBusy, "busy"),
    "-NOAUTH Authentication required.": (ConfigurationError, None),
    "-WRONGPASS invalid username-password pair or user is disabled.": (ConfigurationError, None),
    "-NOPERM User x has no permissions to run the 'evalsha' command": (ConfigurationError, None),
    # A proxy does not know either what became of a call when it lost its server.
    "-ERR upstream failure": (OutcomeUnknown, "outcome_unknown"),
    "-WEIRD thing": (OutcomeUnknown, "outcome_unknown"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_error_reply_becomes_the_right_error_at_once(proxy, behind, direct, answer):
    kind, code = ANSWERS[answer]
    proxy.answer(answer)
    with pytest.raises(GopherError) as caught:
        enqueue(behind)
    assert type(caught.value) is kind
    assert getattr(caught.value, "code", None) == code
    assert sum(b"EVALSHA" in sent for sent in proxy.sent) == 1
    assert enqueue(behind).answers == ["NEW"]
    assert enqueued(direct) == 1


PASSING = {
    "-LOADING Redis is loading the dataset in memory": "loading its data",
    "-READONLY You can't write against a read only replica.": "replica now",
    "-MASTERDOWN Pipeline with MASTER is down and replica-serve-stale-data is set to 'no'.": "without its master",
    "-CLUSTERDOWN The cluster is down": "cluster is down",
    "-NOREPLICAS Not enough good replicas to write.": "too few replicas",
    "-ERR Error running script (call to f_1): @user_script:7: @user_script: 7: -READONLY You can't": "replica now",
    # redis-py fails to read this one.
    "-MOVED somewhere": "moved to another node",
}


@pytest.mark.parametrize("answer", PASSING)
def test_what_passes_is_waited_for(proxy, behind, direct, answer):
    for _ in range(3):
        proxy.answer(answer)
    assert enqueue(behind).answers == ["NEW"]
    assert enqueued(direct) == 1


@pytest.mark.parametrize("answer", PASSING)
def test_what_does_not_pass_is_unavailable_and_nothing_was_done(proxy, behind, direct, answer):
    for _ in range(100):
        proxy.answer(answer)
    with pytest.raises(QueueUnavailable, match=PASSING[answer]) as caught:
        enqueue(behind, patience=0.3)
    assert type(caught.value) is QueueUnavailable
    assert enqueued(direct) == 0


def test_once_it_may_have_been_done_it_stays_unknown(proxy, behind):
    enqueue(behind)
    proxy.cut(0)
    for _ in range(100):
        proxy.answer("-LOADING Redis is loading the dataset in memory")
    with pytest.raises(OutcomeUnknown):
        enqueue(behind, patience=0.3)


def test_a_server_without_memory_says_so(own, namespace):
    with Server(Settings(redis_url=own.url, namespace=namespace)) as server:
        server.client.config_set("maxmemory", 1)
        with pytest.raises(QueueFull, match="out of memory: raise maxmemory, delete dead letters"):
            enqueue(server)


def test_a_replica_says_so(own, namespace):
    with Server(Settings(redis_url=own.url, namespace=namespace)) as server:
        server.client.replicaof("127.0.0.1", 1)
        with pytest.raises(QueueUnavailable, match="replica"):
            enqueue(server, patience=0.2)


def test_a_server_that_a_long_script_holds_says_so(own, namespace):
    with Server(Settings(redis_url=own.url, namespace=namespace)) as server:
        server.client.config_set("lua-time-limit", 10)
        holder = threading.Thread(target=hold, args=(own.url,))
        holder.start()
        try:
            with pytest.raises(QueueBusy):
                wait_until(lambda: enqueue(server) and False, 60, "the server to be busy")
        finally:
            server.client.script_kill()
            holder.join()


def hold(url):
    import redis

    with redis.Redis.from_url(url) as client:
        try:
            client.eval("while true do end", 0)
        except redis.exceptions.ResponseError:
            pass


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_server_that_wants_a_password_says_so(own, namespace, password):
    url = own.url.replace("unix://", f"unix://:{password}@") if password else own.url
    with Server(Settings(redis_url=own.url, namespace=namespace)) as server:
        server.client.config_set("requirepass", "secret")
    with Server(Settings(redis_url=url, namespace=namespace)) as server:
        queue = server.queue("default")
        for calls in ([queue.promote()], [queue.promote(), queue.enqueue([job()])]):
            with pytest.raises(ConfigurationError, match="password"):
                server.run_all(calls, patience=0.2)
    with Server(Settings(redis_url=own.url, namespace=namespace, redis_password="secret")) as server:
        assert enqueue(server).answers == ["NEW"]
        server.client.config_set("requirepass", "")


# Pieces


def test_pauses_double_up_to_a_second_with_jitter_from_a_half_up():
    longest, shortest = pauses(draw=lambda: 1.0), pauses(draw=lambda: 0.0)
    assert [round(next(longest), 3) for _ in range(8)] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert [round(next(shortest), 3) for _ in range(3)] == [0.01, 0.02, 0.04]


def test_a_queue_is_announced_once_a_process(direct):
    direct.register_queues("mail")
    direct.register_queues("default")
    assert direct.queues() == ["default", "mail"]
    assert direct.client.lrange(direct.keys.alarm, 0, -1) == [b"default"]
    direct.client.delete(direct.keys.alarm)
    direct.register_queues("mail")
    assert not direct.client.exists(direct.keys.alarm)


def test_threads_may_share_one(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace), connections=3) as server:
        errors = []

        def work():
            try:
                for _ in range(30):
                    assert enqueue(server).answers == ["NEW"]
            except GopherError as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert enqueued(server) == 240


def test_a_burst_of_threads_never_opens_more_connections_than_said(proxy, namespace, monkeypatch):
    # A reply that a busy machine delays would cost its connection.
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 10.0)
    with Server(Settings(redis_url=proxy.url, namespace=namespace, redis_timeout=10.0), connections=2) as server:
        threads = [threading.Thread(target=enqueue, args=(server,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert proxy.connections <= 2

"""A server that was emptied: what a process has made known it makes known again, and people are told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gopher.scheduler.housekeeper import Housekeeper
from redis import exceptions

from gopher.base.waiting import Mutex
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import JobNotFound, QueueUnavailable
from gopher.jobs.handlers import Registry, handler
from gopher.queue import installation, names
from gopher.queue.installation import TOLD_FOR, notice
from gopher.queue.preflight import check_server
from gopher.reads.health import examine

EMPTIED = "the server was emptied"


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch):
    monkeypatch.setattr(names, "KNOWN_FOR", 0.0)


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def other(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def empty(client):
    """Do what FLUSHALL does, to the keys of this test alone."""
    redis, namespace = client.server.client, client.settings.namespace
    redis.delete(*redis.scan_iter(match=f"{namespace}:*", count=10_000))


def told(client):
    return [reason for reason in examine(client.server).reasons if EMPTIED in reason]


def test_a_new_installation_is_not_taken_for_an_emptied_one(client, other):
    for each in (client, other):
        check_server(each.server)
        each.enqueue("t", {})
        assert told(each) == []


def test_a_reply_from_before_another_thread_wrote_the_mark_is_no_loss(client):
    server = client.server
    overtaken = server.client.execute_command(*server.installation.read_command().words)
    assert not server.look_for_mark()
    assert not server.take_mark(overtaken)
    assert told(client) == []


class WaitedFor(Mutex):
    """A mutex that tells when a second one waits for it."""

    def __init__(self):
        super().__init__()
        self.entries, self.is_waited_for = 0, threading.Event()

    def __enter__(self):
        self.entries += 1
        if self.entries > 1:
            self.is_waited_for.set()
        super().__enter__()


def test_what_a_failed_read_does_not_notice_is_noticed_by_the_thread_that_waits_for_it(client, monkeypatch):
    client.enqueue("t", {})
    empty(client)
    server = client.server
    server._taking_mark = taking = WaitedFor()
    read = server.client.execute_command
    of_an_emptied_server = read(*server.installation.read_command().words)
    with ThreadPoolExecutor(1) as executor:
        others, failed = [], []

        def before_it_reads():
            if not others:
                others.append(executor.submit(server.take_mark, of_an_emptied_server))
                assert taking.is_waited_for.wait(60)

        def fails_once(*words, **options):
            if not failed:
                failed.append(words)
                raise exceptions.ConnectionError("lost")
            return read(*words, **options)

        monkeypatch.setattr(server, "_show_release", before_it_reads)
        monkeypatch.setattr(server.client, "execute_command", fails_once)
        with pytest.raises(QueueUnavailable):
            server.take_mark(of_an_emptied_server)
        assert others[0].result(60)
    assert list(client.stats().queues) == ["default"]


def test_handlers_schedules_are_declared_again_also_if_another_thread_was_the_first_to_notice(client):
    registry = Registry()
    handler("nightly", into=registry, cron="@daily")(lambda job, payload: None)
    housekeeper = Housekeeper(client.server, registry, "s1", list)
    housekeeper.declare()
    empty(client)
    assert client.server.look_for_mark()
    housekeeper.declare()
    assert [schedule.name for schedule in client.schedules.all()] == ["nightly"]


def test_a_client_alone_marks_a_server_where_no_process_has_started_yet(client):
    client.enqueue("t", {})
    assert client.server.client.hget(client.server.keys.meta, "instance")
    assert told(client) == []


def test_a_queue_is_known_again_with_its_next_job(client):
    client.enqueue("t", {})
    empty(client)
    job_id = client.enqueue("t", {})
    assert client.job(job_id).status == "pending"
    assert list(client.stats().queues) == ["default"]


def test_a_job_that_was_stored_before_anybody_noticed_is_found(client, monkeypatch):
    client.enqueue("t", {})
    empty(client)
    monkeypatch.setattr(names, "KNOWN_FOR", 60.0)
    client.server.names._known["default"] += 60
    job_id = client.enqueue("t", {})
    assert client.server.client.exists(client.server.keys.queues) == 0
    assert client.job(job_id).status == "pending"
    assert told(client)


def test_a_queue_that_another_process_has_taken_off_the_list_is_left_off_until_its_next_job(client):
    client.enqueue("t", {})
    client.server.client.srem(client.server.keys.queues, "default")
    assert client.stats().queues == {}
    client.enqueue("t", {})
    assert list(client.stats().queues) == ["default"]
    assert told(client) == []


def test_who_looks_at_the_health_first_notices_too_and_all_are_told(client, other):
    check_server(client.server)
    assert told(client) == []
    assert told(other) == []
    empty(client)
    (reason,) = told(client)
    assert "noticed at 20" in reason
    assert told(other) == told(client) == [reason]
    with Client(client.settings.redis_url, namespace=client.settings.namespace) as later:
        assert told(later) == [reason]


def test_another_installations_mark_is_noticed_as_well(client):
    """Of an earlier version that was started anew, say, or of another server behind the same address."""
    check_server(client.server)
    told(client)
    client.server.client.hset(client.server.keys.meta, "instance", "another")
    assert len(told(client)) == 1


def test_the_log_tells_it_once_a_process(client, other, caplog, monkeypatch):
    # Whatever other tests of this process have configured: as in a program that only uses a client.
    monkeypatch.setattr("structlog.is_configured", lambda: False)
    for each in (client, other):
        each.enqueue("t", {})
    empty(client)
    for _ in range(2):
        for each in (client, other):
            each.enqueue("t", {})
    assert [record.levelname for record in caplog.records if "emptied" in record.getMessage()] == ["ERROR"]
    caplog.clear()
    empty(client)
    client.enqueue("t", {})
    assert "emptied" in caplog.text


def test_the_notice_ends_by_itself_and_when_it_is_acknowledged(client):
    now = 1_800_000_000_000
    emptied_at = b"%d" % now
    assert notice([b"x", emptied_at, None], now + 1)
    assert notice([b"x", emptied_at, None], now + TOLD_FOR * 1000 - 1)
    assert notice([b"x", emptied_at, None], now + TOLD_FOR * 1000) is None
    assert notice([b"x", emptied_at, b"%d" % (now + 1)], now + 2) is None
    assert notice([b"x", emptied_at, b"%d" % (now - 1)], now + 2)
    assert notice([b"x", None, None], now) is None


def test_an_earlier_job_is_reported_as_lost_with_the_rest(client):
    job_id = client.enqueue("t", {})
    empty(client)
    client.enqueue("t", {})
    with pytest.raises(JobNotFound, match="the server was emptied after it was created"):
        client.job(job_id)


def test_health_asks_for_it_in_a_round_trip_that_is_made_anyhow(client):
    examine(client.server)
    redis = client.server.client
    sent = []
    original = redis.pipeline

    def pipeline(*arguments, **options):
        pipe = original(*arguments, **options)
        execute = pipe.execute

        def noted(**options):
            sent.append([command[0][0] for command in pipe.command_stack])
            return execute(**options)

        pipe.execute = noted
        return pipe

    redis.pipeline = pipeline
    examine(client.server)
    assert sent[0] == ["ZADD", "HMGET"]


def test_a_look_that_fails_tells_nothing(client):
    mark = client.server.installation
    assert not mark.saw(None)
    assert not mark.saw(ConnectionError())
    assert not mark.saw([b"a", None, None])
    assert not mark.saw(ConnectionError())
    assert not mark.saw([b"a", None, None])
    assert mark.saw([None, None, None])
    assert not mark.saw([b"b", None, None])
    assert installation.CONSEQUENCE


def test_queues_of_jobs_stored_before_the_loss_was_noticed_are_found(client, monkeypatch):
    monkeypatch.setattr(names, "KNOWN_FOR", 60.0)
    for queue in ("a", "b"):
        client.enqueue("t", {}, queue=queue)
    examine(client.server)
    empty(client)
    job_id = client.enqueue("t", {}, queue="a")
    # Health asks few queues, and for their names only.
    assert told(client)
    assert client.server.client.smembers(client.server.keys.queues) == set()
    assert client.job(job_id).queue == "a"
    assert client.server.client.smembers(client.server.keys.queues) == {b"a", b"b"}


def test_no_more_queues_are_made_known_again_than_there_may_be(redis_url, namespace, monkeypatch):
    monkeypatch.setattr(names, "KNOWN_FOR", 60.0)
    with Client(settings=Settings(redis_url=redis_url, namespace=namespace, max_queues=3)) as client:
        for queue in ("a", "b", "c"):
            client.enqueue("t", {}, queue=queue)
        empty(client)
        with Client(settings=client.settings) as other:
            for queue in ("d", "e"):
                other.enqueue("t", {}, queue=queue)
        assert client.server.look_for_mark()
        assert set(client.stats().queues) == {"a", "d", "e"}
        client.enqueue("t", {}, queue="a")
        assert set(client.stats().queues) == {"a", "d", "e"}


def test_a_queue_that_was_forgotten_is_no_reason_to_write(client, monkeypatch):
    monkeypatch.setattr(names, "KNOWN_FOR", 60.0)
    client.enqueue("t", {}, queue="a")
    client.server.client.srem(client.server.keys.queues, "a")
    assert client.server.queues() == []
    assert not client.server.names.is_known("a")


@pytest.fixture
def refusing(client):
    """Return a function that has the server refuse writes, or take them again."""

    def refuse(on):
        client.server.client.config_set("min-replicas-to-write", int(on))

    yield refuse
    refuse(False)


def test_what_can_not_be_written_when_it_is_noticed_is_written_later(client, other, refusing):
    client.server.look_for_mark()
    empty(client)
    refusing(True)
    assert client.server.look_for_mark()
    assert not client.server.look_for_mark()
    refusing(False)
    # A process that knows nothing of it makes the new mark.
    assert told(other) == []
    assert not client.server.look_for_mark()
    assert told(other) == told(client)
    assert len(told(client)) == 1
    assert not client.server.installation.is_untold

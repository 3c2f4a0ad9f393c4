"""The relay delivers the outbox of a queue, each entry at least once, and no entry holds up another one."""

import msgspec
import pytest

from gopher.config.settings import Settings
from gopher.queue import deliveries
from gopher.queue.relay import Relay
from gopher.queue.store import Server
from gopher.server.calls import Command
from gopher.server.redis_py import exceptions


@pytest.fixture
def store(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as store:
        yield store


@pytest.fixture
def delivered(monkeypatch):
    """A kind of entry whose delivery notes in the queue what it gets, and is rejected for some."""

    def deliver(origin, queue, entries):
        if any(entry.about == "raise" for entry in entries):
            raise ValueError("no such thing")
        reject = any(entry.about == "reject" for entry in entries)
        key = queue.keys.prefix + "seen"
        return [Command(key, ("HGET" if reject else "RPUSH", key, *(entry.job_id for entry in entries)))]

    monkeypatch.setitem(deliveries.DELIVERIES, "note", deliver)


@pytest.fixture
def relay(store):
    def send(call, callback):
        try:
            callback(store.run(call))
        except Exception as error:  # noqa: BLE001 - as a pipeline passes it on
            callback(error)

    return Relay(store.queue("shop"), send, store.queue)


def post(store, *rows):
    """Post entries as scripts do: {kind, what it is about, id} or bytes, for a queue."""
    keys = store.queue("shop").keys
    for to, row in rows:
        entry = row if isinstance(row, bytes) else msgspec.msgpack.encode([*row, "completed", 0, 1])
        store.client.rpush(keys.outbox(to), entry)
        store.client.zadd(keys.outboxes, {to: 0})


def seen(store, to):
    return [item.decode() for item in store.client.lrange(store.queue(to).keys.prefix + "seen", 0, -1)]


def left(store):
    keys = store.queue("shop").keys
    return {
        to.decode(): store.client.llen(keys.outbox(to.decode())) for to in store.client.zrange(keys.outboxes, 0, -1)
    }


def run(store, relay):
    relay.deliver(store.run(relay.call()))


def test_entries_reach_their_queues_in_order_and_leave_the_outbox(store, relay, delivered):
    post(store, *[("mails", ("note", "", f"a{n}")) for n in range(3)], ("files", ("note", "", "b")))
    run(store, relay)
    assert (seen(store, "mails"), seen(store, "files"), left(store)) == (["a0", "a1", "a2"], ["b"], {})


@pytest.mark.parametrize(
    "bad", [b"\xc1", b"\x93", ("other", "", "x"), (1, "", "x"), ("note", "reject", "x"), ("note", "raise", "x")]
)
def test_an_entry_that_cannot_be_delivered_is_dropped_with_a_log_line_and_the_others_get_on(
    store, relay, delivered, bad, caplog
):
    post(store, ("mails", ("note", "", "a")), ("mails", bad), ("mails", ("note", "", "b")))
    run(store, relay)
    assert (seen(store, "mails"), left(store)) == (["a", "b"], {})


def test_what_a_server_has_not_executed_is_delivered_later(store, delivered):
    full = exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
    calls = []

    def send(call, callback):
        calls.append(call)
        callback(full if "mails" in call.key else store.run(call))

    post(store, ("mails", ("note", "", "a")), ("files", ("note", "", "b")))
    relay = Relay(store.queue("shop"), send, store.queue)
    run(store, relay)
    assert (seen(store, "files"), left(store)) == (["b"], {"mails": 1})


def test_deliveries_to_a_queue_that_does_not_answer_do_not_pile_up(store, delivered):
    sent = []
    post(store, ("mails", ("note", "", "a")))
    relay = Relay(store.queue("shop"), lambda call, callback: sent.append(call), store.queue)
    for _ in range(3):
        store.client.zadd(store.queue("shop").keys.outboxes, {"mails": 0})
        run(store, relay)
    assert len(sent) == 1

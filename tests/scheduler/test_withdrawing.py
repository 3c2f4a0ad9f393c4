"""What handlers declare, and no running process declares any more, is withdrawn; what people set stays."""

import json
import signal

import msgspec
import pytest

from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until

#: Announced ten times as often.
QUICK = {
    "GOPHER_HANDLERS": "tests.scheduler.declaring_handlers",
    "GOPHER_WITHDRAW_AFTER": "3s",
    "WORKER_LEASE": "3s",
    "WORKER_POLL_INTERVAL": "500ms",
}
BOTH = "tick,limit"


@pytest.fixture
def start(client, start_worker, start_scheduler):
    """Start a worker and a scheduler whose handlers declare this."""
    client.server.register_queues("default")

    def start(declared):
        environ = {**QUICK, "DECLARED": declared}
        scheduler = start_scheduler(**environ)
        return start_worker(**environ), scheduler

    return start


def declared(client):
    """Return what is in force, by origin."""
    schedules = [("schedule", each.name, each.origin) for each in client.schedules.all()]
    limits = [("limit", each.type, each.origin) for each in client.flow.limits() if each.origin]
    return sorted(schedules + limits)


IN_FORCE = [("limit", "limited", "handler"), ("schedule", "tick", "handler")]


def stop(processes):
    for process in processes:
        process.stop()


def test_what_is_declared_no_more_is_withdrawn_and_told(client, start):
    processes = start(BOTH)
    wait_until(lambda: declared(client) == IN_FORCE)
    stop(processes)
    _, scheduler = start("")
    wait_until(lambda: declared(client) == [], 60, "both to be withdrawn")
    wait_until(lambda: scheduler.log.count(".withdraw") == 2)
    lines = [json.loads(line) for line in scheduler.log.splitlines()]
    assert {line["event"] for line in lines if "withdrew" in line["event"]} == {
        f"withdrew the {kind} of a handler: no running process declares it any more" for kind in ("schedule", "limit")
    }
    audited = {line["action"]: (line["who"], line["on"]) for line in lines if line["event"] == "audit"}
    assert audited == {
        "schedules.withdraw": ("scheduler", {"queue": "reports", "schedule": "tick"}),
        "limits.withdraw": ("scheduler", {"queue": "default", "limit": "limited"}),
    }


def test_what_people_have_set_stays(client, start):
    processes = start(BOTH)
    wait_until(lambda: declared(client) == IN_FORCE)
    client.flow.set_limit("limited", "7/s", None, None)
    spec = ScheduleSpec(cron_expression="@daily", type="tick", payload=msgspec.Raw(b"{}"), queue="reports")
    client.schedules.put("tick", spec)
    client.flow.set_limit("other", "1/s", None, None)
    client.server.run(client.server.queue("default").set_limit("old", 1.0, 1.0, None, origin="handler"))
    # At once: on a busy machine its time may be over before the next processes have started.
    assert ("limit", "old", "handler") in declared(client)
    stop(processes)
    start("")
    by_hand = [("limit", "limited", "api"), ("limit", "other", "api"), ("schedule", "tick", "api")]
    # Set by a process of an earlier version, which did not announce it: withdrawn too, which shows that others are not.
    wait_until(lambda: ("limit", "old", "handler") not in declared(client), 60, "an old limit to be withdrawn")
    forgotten = [client.server.keys.for_queue(name).declared for name in ("default", "reports")]
    wait_until(lambda: not client.server.client.exists(*forgotten), 60, "all announcements to be forgotten")
    assert {(kind, name, origin) for kind, name, origin in declared(client)} >= set(by_hand)


def test_a_worker_of_the_old_deployment_keeps_in_force_what_it_declares(client, start, start_worker):
    processes = start(BOTH)
    wait_until(lambda: declared(client) == IN_FORCE)
    old = start_worker(**QUICK, DECLARED=BOTH)
    stop(processes)
    start("")
    # This one is declared by nobody, and was announced together with the others.
    client.server.run(client.server.queue("default").set_limit("old", 1.0, 1.0, None, origin="handler"))
    client.server.run(client.server.queue("default").announce(["limit:old"]))
    wait_until(lambda: ("limit", "old", "handler") not in declared(client), 60, "what nobody declares to be withdrawn")
    assert declared(client) == IN_FORCE
    old.stop()
    wait_until(lambda: declared(client) == [], 60, "the rest to be withdrawn")


def test_nothing_is_withdrawn_next_to_a_process_that_does_not_announce(client, start):
    """As those of earlier versions, which may declare what they like."""
    client.server.run(client.server.queue("default").set_limit("old", 1.0, 1.0, None, origin="handler"))
    client.server.run(client.server.queue("default").announce(["limit:old"]))
    keys, redis = client.server.keys, client.server.client
    redis.zadd(keys.schedulers, {"an-old-one": client.inspector.now() + 3_600_000})
    begun = client.inspector.now()
    start("tick")
    # Its time is over twice, and announcements go on.
    announced = keys.for_queue("reports").declared
    wait_until(lambda: (redis.zscore(announced, "schedule:tick") or 0) > begun + 6000)
    assert ("limit", "old", "handler") in declared(client)
    redis.zrem(keys.schedulers, "an-old-one")
    wait_until(lambda: ("limit", "old", "handler") not in declared(client), 60, "the old limit to be withdrawn")


@pytest.mark.deep
@pytest.mark.quiet
def test_a_process_that_was_stopped_for_long_declares_its_own_again(client, start):
    worker, scheduler = start(BOTH)
    wait_until(lambda: declared(client) == IN_FORCE, 60, "both to be declared")
    worker.send(signal.SIGSTOP)
    scheduler.send(signal.SIGSTOP)
    start("")
    wait_until(lambda: declared(client) == [], 90, "both to be withdrawn")
    worker.send(signal.SIGCONT)
    scheduler.send(signal.SIGCONT)
    wait_until(lambda: declared(client) == IN_FORCE, 90, "both to be declared again")


def test_what_an_operator_deletes_stays_deleted(client, start):
    start("tick")
    wait_until(lambda: [name for _, name, _ in declared(client)] == ["tick"])
    client.schedules.delete("tick")
    announced = client.server.keys.for_queue("reports").declared
    before = wait_until(lambda: client.server.client.zscore(announced, "schedule:tick"))
    wait_until(lambda: (client.server.client.zscore(announced, "schedule:tick") or 0) > before)
    assert declared(client) == []


def test_a_forgotten_queue_leaves_no_announcements_behind(client):
    queue = client.server.queue("gone")
    client.server.run(queue.announce(["limit:email"]))
    assert client.server.run(queue.forget()) is not None
    assert not client.server.client.exists(queue.keys.declared)

"""Limits and pauses of types hold in every queue, also in one that comes later."""

import pytest

from gopher.client import Client
from tests.helpers import wait_until


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def told(client, queue):
    return {
        view.type: (view.rate, view.burst, view.concurrency, view.origin, view.paused, view.per_key)
        for view in client.flow.limits()
        if view.queue == queue
    }


def test_a_queue_that_is_new_takes_over_limits_and_pauses_of_types(client, redis_url, namespace):
    client.enqueue("email", {})
    client.flow.set_limit("email", "1/7s", 3, 2)
    client.flow.set_limit("math", None, None, 5, per_key=True)
    client.flow.pause_type("math")
    client.flow.pause_type("report")
    with Client(redis_url, namespace=namespace) as another:
        another.enqueue("email", {}, queue="later")
    assert told(client, "later") == told(client, "default")
    assert told(client, "later").keys() == {"email", "math", "report"}
    assert told(client, "later")["report"] == (None, None, None, None, True, False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda redis, keys: redis.hset(keys.limit("odd"), mapping={"origin": "api", "rate": "fast"}),
        lambda redis, keys: redis.hset(keys.limit("odd"), mapping={"origin": "api", "concurrency": "-inf"}),
        lambda redis, keys: redis.lpush(keys.limit("odd"), "a list"),
        lambda redis, keys: (redis.delete(keys.limited), redis.set(keys.limited, "a text")),
    ],
    ids=["rate", "concurrency", "limit", "types"],
)
def test_a_limit_that_can_not_be_read_keeps_no_job_out_of_a_new_queue(client, spoil):
    client.enqueue("t", {})
    redis, keys = client.server.client, client.server.keys.for_queue("default")
    redis.sadd(keys.limited, "odd")
    spoil(redis, keys)
    job_id = client.enqueue("t", {}, queue="later")
    assert client.inspector.find(job_id) == "later"


def test_what_was_taken_back_is_not_taken_over(client):
    client.enqueue("email", {})
    client.flow.set_limit("email", "1/s", None, None)
    client.flow.pause_type("email")
    client.flow.clear_limit("email")
    client.flow.resume_type("email")
    client.enqueue("email", {}, queue="later")
    assert client.flow.limits() == []


def test_what_handlers_declare_is_left_to_the_workers_of_a_queue(client):
    client.enqueue("email", {})
    client.server.run(client.server.queue("default").set_limit("email", 1.0, 1.0, None, origin="handler"))
    client.enqueue("email", {}, queue="later")
    assert told(client, "later") == {}


def test_a_pause_of_one_queue_is_not_taken_over(client):
    client.flow.pause_queue("default")
    client.enqueue("email", {}, queue="later")
    assert client.flow.paused_queues() == ["default"]


def test_a_type_that_is_no_longer_throttled_is_not_shown_as_limited(client):
    client.enqueue("email", {})
    keys, redis = client.server.keys.for_queue("default"), client.server.client
    redis.hset(keys.limit("email"), "held_until", 1)
    redis.sadd(keys.limited, "email")
    assert client.flow.limits() == []


def test_a_job_that_is_too_late_has_ended(client):
    job_id = client.enqueue("email", {}, expires_in=0.001)
    wait_until(lambda: client.job(job_id).status == "expired")
    assert [reason.code for reason in client.why(job_id)] == ["ended"]

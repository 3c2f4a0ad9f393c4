"""What is paused is shown by statistics and health, and since when."""

import pytest

from gopher.client import Client
from gopher.reads.advice import pause_notes


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def paused_ago(client, seconds, *, queue="", job_type=""):
    """Let a pause have begun some time ago."""
    keys, began = client.server.keys.for_queue(queue or "default"), client.inspector.now() - seconds * 1000
    if job_type:
        client.server.client.hset(keys.limit(job_type), "paused", began)
    else:
        client.server.client.set(keys.paused, began)


def test_statistics_and_health_show_paused_queues_and_types(client):
    client.enqueue("email", {}, queue="mail")
    client.enqueue("email", {})
    client.flow.set_limit("math", "5/s", None, None)
    assert (client.stats().paused_queues, client.stats().paused_types) == ({}, {})
    client.flow.pause_queue("mail")
    client.flow.pause_type("email")
    paused_ago(client, 7200, queue="mail")
    paused_ago(client, 60, job_type="email")
    for found in (client.stats(), client.health()):
        assert {name: round(since, -2) for name, since in found.paused_queues.items()} == {"mail": 7200}
        assert list(found.paused_types) == ["email"]
    assert not any("paused" in reason for reason in client.health().reasons)
    assert client.stats().queues["mail"].paused_types.keys() == {"email"}
    client.flow.resume_queue("mail")
    client.flow.resume_type("email")
    assert (client.stats().paused_queues, client.health().paused_types) == ({}, {})


def test_a_corrupt_pause_is_shown_as_a_new_one(client):
    client.enqueue("email", {})
    client.flow.pause_type("email")
    keys, redis = client.server.keys.for_queue("default"), client.server.client
    redis.set(keys.paused, "never")
    redis.hset(keys.limit("email"), "paused", b"\xff")
    assert client.stats().paused_queues == {"default": 0.0}
    assert client.stats().paused_types == {"email": 0.0}
    redis.delete(keys.limit("email"), keys.paused)
    redis.set(keys.limit("email"), "no hash")
    assert client.stats().paused_types == {}


def test_notes_name_the_command_that_resumes():
    assert pause_notes({"mail": 7200.0}, {"email": 90.0}) == [
        "queue 'mail' has been paused for 2h: resume it with `gopherctl resume --queue mail`",
        "type 'email' has been paused for 1m30s: resume it with `gopherctl resume --type email`",
    ]

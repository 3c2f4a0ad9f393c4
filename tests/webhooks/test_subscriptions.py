"""Webhooks as standing subscriptions: which events they get, how they are signed, and what disables them."""

import pytest

from gopher.errors import InvalidJob, JobConflict, WebhookNotFound
from gopher.jobs.webhooks import WebhookRequest
from tests.helpers import wait_until


def test_a_webhook_gets_the_events_that_match_its_filters_and_no_others(client, deliver, receiver):
    client.enqueue("echo", {}, queue="new")  # the queue is there before the webhook
    wanted = client.webhooks.create(receiver.url, events=["failed"], types=["discard"], queues=["default"])
    client.webhooks.create(receiver.url, events=["completed"], queues=["later"])
    deliver(WORKER_QUEUES="default,new,later")
    failed = client.enqueue("discard", {}, max_retries=0)
    client.enqueue("discard", {}, max_retries=0, queue="new")
    client.wait(client.enqueue("echo", {}), 60)
    later = client.enqueue("echo", {"n": 1}, queue="later")
    messages = {message.data["id"]: message for message in receiver.wait_for(2)}
    assert {each.event for each in receiver.messages} == {"job.failed", "job.completed"}
    assert set(messages) == {failed, later}
    told = messages[failed].verified(wanted.secret)
    assert told["data"]["error_type"]
    assert "payload" not in told["data"]


@pytest.mark.deep
def test_a_replaced_secret_signs_too_until_its_overlap_is_over(client, deliver, receiver):
    made = client.webhooks.create(receiver.url)
    deliver()
    new = client.webhooks.rotate(made.webhook_id, "1h").secret
    client.webhooks.test(made.webhook_id)
    (message,) = receiver.wait_for()
    assert message.verified(made.secret) == message.verified(new)
    last = client.webhooks.rotate(made.webhook_id, 0).secret
    # A child of a worker knows secrets for a moment.
    wait_until(lambda: _tested(client, made.webhook_id, receiver).headers["webhook-signature"].count("v1,") == 1)
    receiver.messages[-1].verified(last)


def _tested(client, webhook_id, receiver):
    known = len(receiver.messages)
    client.webhooks.test(webhook_id)
    return receiver.wait_for(known + 1)[-1]


def failed(client, webhook_id):
    return [each for each in client.webhooks.deliveries(webhook_id) if each.status == "failed"]


def test_a_webhook_is_disabled_after_failures_in_a_row_and_enabled_by_an_operator(client, deliver, start_receiver):
    receiver = start_receiver(lambda request: request.reply(500, b"broken"))
    made = client.webhooks.create(receiver.url, events=["completed"])
    deliver(GOPHER_WEBHOOKS_BACKOFF="10ms", GOPHER_WEBHOOKS_DISABLE_AFTER="2")
    for _ in range(2):
        client.enqueue("echo", {})
    view = wait_until(lambda: (view := client.webhooks.get(made.webhook_id)).disabled_at and view, 60)
    assert view.disabled_because == "2 deliveries in a row have failed"
    assert len(receiver.requests) == 4
    # That is noted a moment before the delivery ends.
    one, _ = wait_until(lambda: len(found := failed(client, made.webhook_id)) == 2 and found, 60)
    with pytest.raises(JobConflict, match="disabled"):
        client.webhooks.test(made.webhook_id)
    receiver.answer = lambda request: request.accept()
    assert client.webhooks.enable(made.webhook_id)
    assert not client.webhooks.enable(made.webhook_id)
    # What had failed is sent again with the same id.
    assert client.webhooks.redeliver(one.job_id) == one.job_id
    (message,) = receiver.wait_for()
    assert message.message_id in {each.message_id for each in receiver.requests[:4]}
    wait_until(lambda: client.webhooks.get(made.webhook_id).failures == 0, 60)
    assert client.wait(one.job_id, 60).status == "completed"
    again = client.webhooks.redeliver(one.job_id)
    assert again != one.job_id
    assert {each.message_id for each in receiver.wait_for(2)} == {message.message_id}


@pytest.mark.deep
def test_a_receiver_that_is_gone_disables_its_webhook_at_once(client, deliver, start_receiver):
    receiver = start_receiver(lambda request: request.reply(410))
    made = client.webhooks.create(receiver.url)
    deliver()
    job_id = client.webhooks.test(made.webhook_id)
    assert client.wait(job_id, 60).status == "failed"
    assert client.webhooks.get(made.webhook_id).disabled_because == "its receiver answered 410"
    assert len(receiver.requests) == 1


def test_what_is_invalid_is_rejected_with_the_field(client):
    for field, fields in {
        "/url": {"url": "ftp://example.com"},
        "/events/0": {"url": "https://example.com", "events": ["done"]},
        "/types/0": {"url": "https://example.com", "types": ["No"]},
        "/include/1": {"url": "https://example.com", "include": ["result", "secret"]},
        "/tenants/1": {"url": "https://example.com", "tenants": ["", "a b"]},
        "/types": {"url": "https://example.com", "types": ["gopher.webhook"]},
        "/description": {"url": "https://example.com", "description": "a\0"},
    }.items():
        with pytest.raises(InvalidJob) as caught:
            client.webhooks.create(**fields)
        assert caught.value.field == field
    with pytest.raises(WebhookNotFound):
        client.webhooks.replace("000000000000", WebhookRequest("https://example.com"))
    with pytest.raises(InvalidJob, match="only Gopher submits"):
        client.enqueue("gopher.webhook", {})


def test_a_webhook_is_shown_without_its_secret_and_changed_with_it_unchanged(client):
    made = client.webhooks.create("https://example.com/a", description="for the shop")
    view = client.webhooks.replace(made.webhook_id, WebhookRequest("https://example.com/b", types=["email"]))
    assert (view.url, view.types, view.description) == ("https://example.com/b", ["email"], "")
    assert client.webhooks.all() == [view]
    assert not hasattr(view, "secret")
    client.webhooks.delete(made.webhook_id)
    assert client.webhooks.all() == []
    assert not client.server.client.exists(client.server.keys.for_queue("default").subscribed)

"""A job's callback is told how it ended: signed, at least once, wherever its receiver is allowed to be."""

import os
import subprocess

import pytest
from gopher.cli.processes import gopherctl

from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.jobs.batch import new_batch, prepare_new_batch
from gopher.jobs.callbacks import DELIVERY_TYPE, BatchCallback, Callback
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until
from tests.webhooks.conftest import Request, secret_of


def test_the_end_of_a_job_reaches_its_callback_signed(client, deliver, receiver):
    deliver()
    job_id = client.enqueue(
        "echo", {"number": 7}, tags=["blue"], callback={"url": receiver.url, "include": ["payload", "result"]}
    )
    (message,) = receiver.wait_for()
    told = message.verified(secret_of(client))
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("job.completed", job_id, "completed")
    assert told["data"] == {
        "id": job_id,
        "type": "echo",
        "queue": "default",
        "status": "completed",
        "attempts": 1,
        "tags": ["blue"],
        "payload": {"number": 7},
        "result": {"number": 7},
    }


@pytest.mark.deep
def test_each_way_to_submit_a_job_takes_a_callback(client, deliver, receiver):
    deliver()
    callback = {"url": receiver.url, "events": ["cancelled"]}
    ids = [
        client.enqueue("echo", {}, delay="1h", callback=callback),
        *client.enqueue_many([{"type": "echo", "payload": {}, "delay": "1h", "callback": callback}]),
    ]
    spec = ScheduleSpec("0 0 1 1 *", "echo", {}, callback=Callback(receiver.url, ["completed"]))
    client.schedules.put("yearly", spec)
    assert client.schedules.get("yearly").callback == spec.callback
    keys = client.server.keys.for_queue("default")
    client.server.client.zadd(keys.ticks, {"yearly": 1})
    client.server.client.rpush(keys.alarm, 1)
    for job_id in ids:
        assert client.job(job_id).callback == Callback(receiver.url, ["cancelled"])
        client.cancel(job_id)
    told = [message.verified(secret_of(client))["data"]["status"] for message in receiver.wait_for(3)]
    assert sorted(told) == ["cancelled", "cancelled", "completed"]


@pytest.mark.parametrize(
    ("callback", "field"),
    [
        ({"url": "ftp://example.com/"}, "/callback/url"),
        ({"url": "https://user:secret@example.com/"}, "/callback/url"),
        ({"url": "https://exam ple.com/"}, "/callback/url"),
        ({"url": "https://example.com/" + "x" * 2048}, "/callback/url"),
        ({"url": "https://example.com", "events": ["done"]}, "/callback/events/0"),
        ({"url": "https://example.com", "include": ["secret"]}, "/callback/include/0"),
        ({"url": "https://example.com", "key": 1}, "/callback/key"),
    ],
)
def test_an_invalid_callback_is_rejected_with_the_field(callback, field):
    with pytest.raises(InvalidJob) as caught:
        prepare_fields({"type": "echo", "payload": {}, "callback": callback})
    assert caught.value.field == field


def lie_about_length(request):
    request.server.receiver.messages.append(request.received)
    request.send_response(200)
    request.send_header("Content-Length", "1000000000")
    request.end_headers()
    request.wfile.write(b"y" * 5000)


def hang_up(request):
    request.connection.close()


def say_nothing(request):
    request.server.receiver.quiet.wait(30)


def test_what_a_receiver_says_besides_its_status_does_not_matter(client, deliver, start_receiver):
    receiver = start_receiver(lie_about_length)
    deliver()
    client.enqueue("echo", {}, callback={"url": receiver.url})
    receiver.wait_for()
    (delivery,) = wait_until(lambda: deliveries(client, "completed"), 60)
    assert len(receiver.requests) == 1
    (line,) = client.logs(delivery.job_id)
    assert line.line.startswith(f"POST http://{receiver.place}/hooks: 200 in ")
    assert "private" not in line.line


REFUSALS = {
    "error": lambda request: request.reply(500),
    "redirection": lambda request: request.reply(302, Location="http://127.0.0.1:1/"),
    "too many": lambda request: request.reply(429, Retry_After="0"),
    "nothing": say_nothing,
    "end": hang_up,
}


@pytest.mark.deep
def test_messages_that_are_not_accepted_are_sent_again_with_the_same_id(client, deliver, start_receiver):
    """Each way not to accept one has a receiver of its own."""

    def refusing(refuse):
        def answer(request):
            (refuse if len(request.server.receiver.requests) <= 2 else Request.accept)(request)

        return answer

    receivers = {name: start_receiver(refusing(refuse)) for name, refuse in REFUSALS.items()}
    # A busy machine may take longer than that before anything is sent.
    deliver(GOPHER_WEBHOOKS_TIMEOUT="300ms", GOPHER_WEBHOOKS_BACKOFF=",".join(["50ms"] * 60))
    for receiver in receivers.values():
        client.enqueue("echo", {}, callback={"url": receiver.url})
    for name, receiver in receivers.items():
        (message, *_) = receiver.wait_for()
        receiver.quiet.set()
        message.verified(secret_of(client))
        assert len(receiver.requests) >= 3, name
        assert {each.message_id for each in receiver.requests} == {message.message_id}, name


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]/"])
def test_a_message_is_never_sent_to_a_private_address(client, deliver, receiver, url):
    deliver(GOPHER_WEBHOOKS_ALLOW="10.0.0.0/8")
    client.enqueue("echo", {}, callback={"url": url.format(port=receiver.port)})
    (delivery,) = wait_until(lambda: deliveries(client, "failed"), 60)
    assert b"is not allowed" in bytes(delivery.error)
    assert delivery.attempts == 1
    assert receiver.requests == []


def deliveries(client, status):
    return client.jobs(job_type=DELIVERY_TYPE, status=status).jobs


@pytest.mark.deep
def test_a_job_that_was_exported_and_imported_still_reports_its_end(client, deliver, receiver, redis_url, tmp_path):
    def transfer(verb, namespace):
        environ = {**os.environ, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace}
        subprocess.run(gopherctl(verb, str(tmp_path / "exported")), env=environ, check=True, capture_output=True)

    with Client(redis_url, namespace=f"{client.settings.namespace}-before") as other:
        job_id = other.enqueue("echo", {}, callback={"url": receiver.url})
        transfer("export", other.settings.namespace)
    transfer("import", client.settings.namespace)
    deliver()
    (message,) = receiver.wait_for()
    assert message.verified(secret_of(client))["data"]["id"] == job_id


def test_the_end_of_a_batch_reaches_its_callback_once_with_its_counts(client, deliver, receiver):
    deliver()
    callback = {"url": receiver.url, "events": ["failed", "completed"]}
    with client.batch(name="import", tags=["blue"], callback=callback) as batch:
        batch.enqueue("echo", {})
        flaky = batch.enqueue("echo", {}, delay="1h")
        batch.enqueue("echo", {}, queue="other", delay="1h")
    assert client.batches.get(batch.id).callback == BatchCallback(receiver.url, ["failed", "completed"])
    wait_until(lambda: client.batches.get(batch.id).completed == 1, 60)
    client.batches.cancel(batch.id)
    (message,) = receiver.wait_for()
    told = message.verified(secret_of(client))
    assert told["type"] == "batch.failed"
    assert told["data"] == {
        "id": batch.id,
        "name": "import",
        "queue": "default",
        "status": "failed",
        "total": 3,
        "cancelled": 2,
        "completed": 1,
        "tags": ["blue"],
    }
    assert client.job(flaky).status == "cancelled"
    with client.batch(callback={"url": receiver.url, "events": ["completed"]}) as second:
        second.enqueue("echo", {})
    assert receiver.wait_for(2)[1].verified(secret_of(client))["data"]["id"] == second.id


@pytest.mark.parametrize(
    ("callback", "field"),
    [
        ({"url": "ftp://example.com/"}, "/callback/url"),
        ({"url": "https://example.com", "events": ["cancelled"]}, "/callback/events/0"),
        ({"url": "https://example.com", "include": ["payload"]}, "/callback/include"),
    ],
)
def test_an_invalid_callback_of_a_batch_is_rejected_with_the_field(callback, field):
    with pytest.raises(InvalidJob) as caught:
        prepare_new_batch(new_batch(callback=callback), None)
    assert caught.value.field == field

"""Deliveries beside the other jobs of a worker: slow receivers do not get all of its children."""

import threading

import pytest

from tests.helpers import wait_until
from tests.webhooks.conftest import QUICK


@pytest.fixture
def answered():
    """Lets slow receivers answer."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def slow(start_receiver, answered):
    def answer(request):
        answered.wait(300)
        request.accept()

    return start_receiver(answer)


def submit_with_callbacks(client, receiver, count):
    ids = [client.enqueue("echo", {}, callback={"url": receiver.url}) for _ in range(count)]
    for job_id in ids:
        client.wait(job_id, 60)


@pytest.mark.parametrize("children", [2, 3])
def test_slow_receivers_leave_a_child_for_other_jobs(client, deliver, slow, answered, children):
    deliver(WORKER_CONCURRENCY=str(children), GOPHER_WEBHOOKS_TIMEOUT="60s")
    submit_with_callbacks(client, slow, 6)
    wait_until(lambda: len(slow.requests) >= children - 1, 60)
    # Each of these comes while all deliveries that the worker has wait for their receiver.
    for _ in range(5):
        assert client.wait(client.enqueue("echo", {}), 15).status == "completed"
    assert len(slow.requests) == children - 1
    answered.set()
    slow.wait_for(6)


def test_a_worker_for_deliveries_alone_uses_all_its_children(client, start_worker, deliver, slow, answered):
    deliver(WORKER_WEBHOOKS="0")
    patient = {**QUICK, "GOPHER_WEBHOOKS_TIMEOUT": "60s"}
    start_worker(**patient, WORKER_QUEUES="webhooks", WORKER_CONCURRENCY="2")
    submit_with_callbacks(client, slow, 3)
    wait_until(lambda: len(slow.requests) == 2, 60)
    answered.set()
    slow.wait_for(3)


def test_a_worker_with_one_child_delivers_too(client, deliver, receiver):
    deliver(WORKER_CONCURRENCY="1")
    submit_with_callbacks(client, receiver, 3)
    receiver.wait_for(3)

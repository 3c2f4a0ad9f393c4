"""`why`: what keeps a waiting job from starting."""

import pytest

from gopher.client import Client
from tests.core.reads.loads import ran, shown


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        # One has ended, so it is known how long they take.
        ran(client, 1000.0)
        yield client


def codes_of(client, job_id):
    return [reason.code for reason in client.why(job_id)]


def test_a_job_that_nothing_is_in_the_way_of_is_told_about_when_it_may_start(client):
    shown(client, "one", 2)
    ahead, job_id = client.enqueue("email", {}), client.enqueue("email", {})
    assert codes_of(client, ahead) == ["position"]
    (reason,) = client.why(job_id)
    assert "it may start in about" in reason.message
    assert reason.until is not None


@pytest.mark.parametrize("paused", [{"queue": "default"}, {"job_type": "email"}])
def test_a_job_of_a_paused_queue_or_type_is_not_told_when_it_may_start(client, paused):
    shown(client, "one", 2)
    client.enqueue("email", {})
    job_id = client.enqueue("email", {})
    pause = client.flow.pause_queue if "queue" in paused else client.flow.pause_type
    pause(next(iter(paused.values())))
    last = client.why(job_id)[-1]
    assert (last.code, last.until) == ("position", None)
    assert "may start" not in last.message


@pytest.mark.parametrize("state", ["quiet", "stopping"])
def test_a_job_whose_workers_fetch_no_more_jobs_is_told_to_start_another_worker(client, state):
    shown(client, "one", 2, state=state)
    client.enqueue("email", {})
    job_id = client.enqueue("email", {})
    first, last = client.why(job_id)
    assert first.code == "no_worker"
    assert first.message == (
        "all workers that serve the queue default are quiet or stopping: start another one with `gopherctl worker`"
    )
    assert (last.code, last.until) == ("position", None)


def test_a_type_that_only_quiet_workers_have_is_told_so(client):
    shown(client, "one", 2, state="quiet")
    shown(client, "two", 2, types=["math"])
    first, _ = client.why(client.enqueue("email", {}))
    assert (first.code, first.message) == (
        "no_worker_for_type",
        "all workers that have a handler for 'email' are quiet or stopping: start another one",
    )
    assert codes_of(client, client.enqueue("math", {})) == ["position"]

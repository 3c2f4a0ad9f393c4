"""What handlers declare counts also for clients in processes that do not import them."""

import logging

import msgspec
import pytest

from gopher.client import Client
from gopher.jobs.schedule import ScheduleSpec
from tests.helpers import wait_until

#: The options of jobs in the order in which `options` returns them.
DECLARED = ("billing", "high", ["money"])


@pytest.fixture
def worker(client, start_worker):
    worker = start_worker(GOPHER_HANDLERS="tests.worker.declaring_handlers", WORKER_QUEUES="default,billing")
    wait_until(lambda: client.server.client.hexists(client.server.keys.types, "announced_invoice"))
    return worker


@pytest.fixture
def afar(client):
    """A client that knows nothing, since it has read nothing yet."""
    with Client(settings=client.settings) as client:
        yield client


def options(client, job_id):
    view = client.job(job_id)
    return (view.queue, view.priority, view.tags)


def test_one_many_and_a_batch_have_the_options_that_are_announced(worker, afar, caplog):
    one = {"type": "announced_invoice", "payload": {"total": 1}}
    with caplog.at_level(logging.WARNING, "gopher"):
        ids = [afar.enqueue("announced_invoice", {"total": 1}), *afar.enqueue_many([one, one])]
        ids += [stored.job_id for stored in afar.submit_batch([msgspec.json.encode(one)])]
    assert {len(set(ids)), *(len(options(afar, job_id)) for job_id in ids)} == {4, 3}
    assert [options(afar, job_id) for job_id in ids] == [DECLARED] * 4
    # Once, not for each of them.
    assert [record.getMessage()[:44] for record in caplog.records] == [
        "jobs of the type announced_invoice are stored"[:44]
    ]
    said = afar.enqueue("announced_invoice", {"total": 1}, queue="default", priority="normal", tags=[])
    assert options(afar, said) == ("default", "normal", [])
    assert afar.wait(ids[0], 30).result == msgspec.Raw(b'{"total":1}')


def test_a_schedule_has_them(worker, afar):
    view, _ = afar.schedules.put(
        "daily", ScheduleSpec(cron_expression="@daily", type="announced_invoice", payload=msgspec.Raw(b"{}"))
    )
    assert (view.queue, view.priority, view.tags, view.retention) == (*DECLARED, 7200)


def test_types_that_declare_nothing_and_unknown_ones_are_as_ever(worker, afar):
    assert options(afar, afar.enqueue("tagged", {})) == ("default", "normal", [])
    assert options(afar, afar.enqueue("unheard-of", {})) == ("default", "normal", [])


def test_what_is_declared_no_more_is_taken_back_by_the_next_worker(worker, client, start_worker):
    keys, redis = client.server.keys, client.server.client
    redis.hset(keys.types, "tagged", b'{"queue":"gone"}')
    redis.hset(keys.types, "elsewhere", b'{"queue":"kept"}')
    start_worker(GOPHER_HANDLERS="tests.worker.declaring_handlers")
    wait_until(lambda: not redis.hexists(keys.types, "tagged"))
    assert redis.hexists(keys.types, "elsewhere")


def test_a_handler_sees_its_tags_and_a_result_of_another_type_is_a_dead_letter(worker, client):
    done = client.wait(client.enqueue("tagged", {}, tags=["a", "b", "a"]), 30)
    assert (done.result, done.tags) == (msgspec.Raw(b'["a","b"]'), ["a", "b"])
    failed = client.wait(client.enqueue("tagged", {"result": ["a", 1]}, max_retries=5), 30)
    error = msgspec.json.decode(failed.error)
    assert (failed.status, failed.attempts, error["type"]) == ("failed", 1, "WrongResult")
    assert error["message"].endswith("result.1 expected `str`, got `int`")

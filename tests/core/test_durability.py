"""Submissions that are acknowledged only once a replica has the job."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import NotReplicated
from gopher.server import confirming
from tests.helpers import wait_until
from tests.topologies.pair import Pair


@pytest.fixture(scope="module")
def pair():
    with Pair() as running:
        yield running


@pytest.fixture
def settings(pair, namespace):
    return replace(Settings.from_env({}), redis_url=pair.url, namespace=namespace, durability_timeout=0.3)


@pytest.fixture
def client(settings):
    with Client(settings=settings) as client:
        yield client


def on_the_replica(pair, client, job_id):
    return pair.replicas[0].client.exists(client.server.keys.for_queue("default").job(job_id))


def confirmed(submit, *given, **named):
    """Return what a submission returns once it is confirmed. Until a replica has caught up that may take longer."""

    def attempt():
        with suppress(NotReplicated):
            return submit(*given, **named)

    return wait_until(attempt, 60, "a confirmation")


@pytest.mark.parametrize("durability", ["replicated", "synced"])
def test_a_job_is_on_the_replica_when_its_id_is_returned(pair, client, durability):
    # Both write to their disks once a second, and not at the same time.
    client.settings = client.server.settings = replace(client.settings, durability_timeout=20.0)
    for _ in range(3):
        job_id = client.enqueue("email", {}, durability=durability)
        assert on_the_replica(pair, client, job_id)


def test_a_job_that_no_replica_confirms_is_stored_and_the_error_has_its_id(pair, client):
    with pair.frozen_replicas():
        began = time.monotonic()
        with pytest.raises(NotReplicated, match=r"not confirmed within 0.3 s by 1 replica") as caught:
            client.enqueue("email", {}, durability="replicated")
        assert 0.25 < time.monotonic() - began < 10
        (job_id,) = caught.value.job_ids
        assert client.job(job_id).status == "pending"
        assert client.enqueue("email", {})


def repeat(client, **fields):
    text = b'{"type":"email","payload":{},"unique_key":"order-1","durability":"replicated"}'
    return client.submit_batch([text], **fields)[0]


@pytest.mark.parametrize("key", [None, "order-1"], ids=["unique key", "idempotency key"])
def test_a_repeat_of_a_stored_job_waits_for_the_replica_as_well(pair, client, key):
    with pair.frozen_replicas():
        ids = set()
        for _ in range(2):
            with pytest.raises(NotReplicated) as caught:
                repeat(client, idempotency_key=key)
            ids.update(caught.value.job_ids)
        assert len(ids) == 1
    stored = confirmed(repeat, client, idempotency_key=key)
    assert {stored.job_id} == ids
    assert stored.replayed is (key is not None)
    assert stored.duplicate is (key is None)
    assert on_the_replica(pair, client, stored.job_id)


def test_a_server_without_replicas_is_reported_at_once(pair, client):
    confirmed(client.enqueue, "email", {}, durability="replicated")
    pair.detach()
    try:
        # It was known to have one.
        with pytest.raises(NotReplicated):
            client.enqueue("email", {}, durability="replicated")
        with Client(settings=replace(client.settings, durability_timeout=60.0)) as patient:
            began = time.monotonic()
            with pytest.raises(NotReplicated, match=r"0 of 1 replicas are connected") as caught:
                patient.enqueue("email", {}, durability="replicated")
            assert time.monotonic() - began < 30
        assert client.job(caught.value.job_ids[0]).status == "pending"
    finally:
        pair.attach()
    assert confirmed(client.enqueue, "email", {}, durability="replicated")


def test_a_flushed_script_cache_does_not_confirm_what_no_replica_has(pair, client):
    confirmed(client.enqueue, "email", {}, durability="replicated")
    with pair.frozen_replicas():
        pair.primary.client.script_flush()
        with pytest.raises(NotReplicated):
            client.enqueue("email", {}, durability="replicated")


def test_a_server_that_refuses_wait_says_so(pair, settings):
    pair.primary.client.execute_command("ACL", "SETUSER", "default", "-wait", "-waitaof")
    try:
        with (
            Client(settings=settings) as client,
            pytest.raises(NotReplicated, match=r"the server refuses WAIT:.*permissions"),
        ):
            client.enqueue("email", {}, durability="replicated")
        with Client(settings=settings) as client, pytest.raises(NotReplicated, match=r"the server refuses WAITAOF:"):
            client.enqueue("email", {}, durability="synced")
    finally:
        pair.primary.client.execute_command("ACL", "SETUSER", "default", "+@all")


def test_a_server_that_refuses_info_is_waited_for(pair, settings):
    pair.primary.client.execute_command("ACL", "SETUSER", "default", "-info")
    try:
        with Client(settings=settings) as client:
            assert confirmed(client.enqueue, "email", {}, durability="replicated")
            with pair.frozen_replicas(), pytest.raises(NotReplicated, match="not confirmed"):
                client.enqueue("email", {}, durability="replicated")
    finally:
        pair.primary.client.execute_command("ACL", "SETUSER", "default", "+@all")


def test_the_setting_applies_to_submissions_that_say_nothing(pair, settings):
    with Client(settings=replace(settings, durability="replicated")) as client, pair.frozen_replicas():
        with pytest.raises(NotReplicated):
            client.enqueue("email", {})
        assert client.enqueue("email", {}, durability="stored")


def test_the_jobs_of_a_batch_are_as_durable_as_the_strongest_of_their_queue(pair, client):
    jobs = [{"type": "email", "payload": {}}, {"type": "email", "payload": {}, "durability": "replicated"}]
    with pair.frozen_replicas():
        with pytest.raises(NotReplicated, match="the 3 jobs are stored") as caught:
            client.enqueue_many([*jobs, {"type": "email", "payload": {}, "queue": "sms"}])
        assert len(caught.value.job_ids) == 3
        assert client.stats().total_enqueued == 3
        client.enqueue_many([{**jobs[0], "queue": "sms"}])


def test_threads_share_round_trips_and_confirmations(pair, settings, monkeypatch):
    # On a busy machine a replica that confirms late is not silent.
    monkeypatch.setattr(confirming, "SILENT_AFTER", 20.0)
    settings = replace(settings, durability_timeout=20.0)
    with Client(settings=settings, auto_pipelining=True, confirming_threads=20) as client:
        with ThreadPoolExecutor(8) as threads:
            ids = list(threads.map(lambda _: client.enqueue("email", {}, durability="replicated"), range(200)))
        pair.primary.client.config_resetstat()
        with ThreadPoolExecutor(8) as threads:
            ids += threads.map(lambda _: client.enqueue("email", {}, durability="replicated"), range(200))
        assert all(on_the_replica(pair, client, job_id) for job_id in ids)
        assert pair.primary.client.info("commandstats")["cmdstat_wait"]["calls"] < 200


def test_few_threads_wait_for_silent_replicas(pair, settings):
    settings = replace(settings, durability_timeout=1.0)
    with Client(settings=settings, auto_pipelining=True, confirming_threads=4) as client:
        confirmed(client.enqueue, "email", {}, durability="replicated")

        def submit(_number):
            began = time.monotonic()
            with pytest.raises(NotReplicated):
                client.enqueue("email", {}, durability="replicated")
            return time.monotonic() - began

        with pair.frozen_replicas(), ThreadPoolExecutor(20) as threads:
            took = sorted(threads.map(submit, range(100)))
        # Those that had begun before the replicas were known to be silent, and then one at a time.
        assert sum(seconds > 0.5 for seconds in took) < 50
        confirmed(client.enqueue, "email", {}, durability="replicated")


def test_concurrent_submissions_wait_for_the_same_disks(pair, settings):
    settings = replace(settings, durability_timeout=20.0)
    with Client(settings=settings, auto_pipelining=True, confirming_threads=4) as client, ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: client.enqueue("email", {}, durability="synced"), range(8)))) == 8

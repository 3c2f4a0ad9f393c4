"""`EagerClient`: the real client, whose jobs have run when they are submitted."""

import inspect
from collections.abc import Iterator

import msgspec
import pytest
from gopher.testing import EagerClient

from gopher import Cancelled, Client, Discard, Job, RateLimited, Retry, Snooze, handler
from gopher.errors import InvalidJob
from gopher.jobs.handlers import Registry
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.queue.invariants import findings

calls: list[str] = []


def make_registry() -> Registry:
    made = Registry()

    @handler("double", into=made)
    def double(job: Job, payload: dict) -> dict:
        calls.append(payload.get("name", ""))
        job.log("doubling")
        return {"value": 2 * payload.get("value", 0), "parents": list(job.parents.values())}

    @handler("flaky", max_retries=2, backoff="constant", into=made)
    def flaky(job: Job, payload: dict) -> int:
        if job.attempt < payload["good_at"]:
            raise Retry("not yet", after="1h") if payload.get("asks") else ValueError("broken")
        return job.attempt

    @handler("raises", into=made)
    def raises(job: Job, payload: dict) -> None:
        raise {"discard": Discard("never"), "exit": SystemExit(3), "cancelled": Cancelled()}[payload["what"]]

    @handler("polite", into=made)
    def polite(job: Job, payload: dict) -> None:
        if calls.count("polite") < 1:
            calls.append("polite")
            raise Snooze("10m") if payload["how"] == "snooze" else RateLimited("10m")

    @handler("typed", into=made)
    def typed(job: Job, payload: "Typed") -> None: ...

    return made


class Typed(msgspec.Struct):
    number: int


@pytest.fixture
def client(redis_url: str) -> Iterator[EagerClient]:
    calls.clear()
    with EagerClient(redis_url, registry=make_registry()) as made:
        yield made
        for queue in made.server.queues():
            assert findings(made.server.client, made.server.keys.for_queue(queue)) == []


def result(client: Client, job_id: str) -> object:
    return msgspec.json.decode(client.job(job_id).result)


def test_a_job_has_run_when_it_is_enqueued(client: EagerClient) -> None:
    job_id = client.enqueue("double", {"value": 21})
    view = client.wait(job_id)
    assert (view.status, view.attempts, result(client, job_id)) == ("completed", 1, {"value": 42, "parents": []})
    assert [line.line for line in client.logs(job_id)] == ["doubling"]


def test_many_jobs_run_the_urgent_ones_first(client: EagerClient) -> None:
    client.enqueue_many(
        {"type": "double", "payload": {"name": name}, "priority": name, "queue": "other"}
        for name in ("low", "normal", "high")
    )
    assert calls == ["high", "normal", "low"]


def test_retries_are_made_at_once_whatever_they_would_wait(client: EagerClient) -> None:
    for asks in (False, True):
        job_id = client.enqueue("flaky", {"good_at": 3, "asks": asks})
        view = client.job(job_id)
        assert (view.status, view.attempts, len(view.history)) == ("completed", 3, 3)


def test_a_job_that_dies_raises_what_its_handler_raised(client: EagerClient) -> None:
    with pytest.raises(ValueError, match="broken"):
        client.enqueue("flaky", {"good_at": 9})
    with pytest.raises(Discard):
        client.enqueue("raises", {"what": "discard"})
    with pytest.raises(SystemExit):
        client.enqueue("raises", {"what": "exit"}, max_retries=0)
    assert client.dead_letters.page().total_count == 3


def test_errors_are_recorded_in_the_job_when_they_are_not_raised(redis_url: str) -> None:
    with EagerClient(redis_url, registry=make_registry(), raise_errors=False) as client:
        view = client.job(client.enqueue("flaky", {"good_at": 9}, max_retries=1))
        assert (view.status, view.attempts) == ("failed", 2)
        assert view.error is not None
        assert msgspec.json.decode(view.error)["message"] == "broken"
        client.dead_letters.retry(view.job_id)
        assert client.wait(view.job_id).attempts == 2


def test_delayed_and_snoozed_jobs_wait_until_they_are_asked_for(client: EagerClient) -> None:
    later = client.enqueue("double", {}, delay="1h")
    snoozed = client.enqueue("polite", {"how": "snooze"})
    assert [client.job(each).status for each in (later, snoozed)] == ["scheduled", "scheduled"]
    client.run_scheduled(within="30m")
    assert [client.job(each).status for each in (later, snoozed)] == ["scheduled", "completed"]
    client.run_scheduled()
    assert client.job(later).status == "completed"


def test_a_job_waits_for_those_that_it_comes_after(client: EagerClient) -> None:
    first = client.enqueue("double", {"value": 1}, delay="1h")
    second = client.enqueue("double", {"value": 2}, after=[first])
    client.run_scheduled(within="1m")
    assert client.job(second).status == "scheduled"
    client.run_scheduled()
    assert result(client, second) == {"value": 4, "parents": [{"value": 2, "parents": []}]}


def test_pauses_limits_and_unique_keys_hold(client: EagerClient) -> None:
    client.flow.pause_queue("default")
    one = client.enqueue("double", {}, unique_key="same")
    assert client.enqueue("double", {}, unique_key="same") == one
    assert client.job(one).status == "pending"
    client.flow.resume_queue("default")
    assert client.wait(one).status == "completed"
    held = client.enqueue("polite", {"how": "limit"})
    assert client.why(held)[0].code == "held_back"


def test_a_handler_may_submit_jobs(client: EagerClient) -> None:
    registry = client.registry
    assert registry is not None

    @handler("parent", into=registry)
    def parent(job: Job, payload: dict) -> str:
        child = client.enqueue("double", {"value": 5})
        assert client.job(child).status == "pending"
        return child

    child = result(client, client.enqueue("parent", {}))
    assert isinstance(child, str)
    assert client.job(child).status == "completed"


def test_what_a_handler_says_to_its_own_cancellation_is_heard(client: EagerClient) -> None:
    assert client.job(client.enqueue("raises", {"what": "cancelled"})).status == "cancelled"


def test_a_payload_is_checked_before_anything_is_stored(client: EagerClient) -> None:
    with pytest.raises(InvalidJob, match="/payload/number"):
        client.enqueue("typed", {"number": "many"})
    assert client.stats().total_enqueued == 0


def test_no_other_client_sees_its_jobs_and_nothing_is_left_of_them(redis_url: str) -> None:
    with EagerClient(redis_url, registry=make_registry()) as one, EagerClient(redis_url, registry=Registry()) as other:
        one.enqueue("double", {})
        assert other.stats().queues == {}
        connection, namespace = other.server.client, one.settings.namespace
        one.close()
        assert list(connection.scan_iter(match=f"{namespace}:*")) == []


def test_without_an_address_it_starts_a_server_of_its_own() -> None:
    with EagerClient(registry=make_registry()) as client, EagerClient(registry=make_registry()) as second:
        assert client.job(client.enqueue("double", {})).status == "completed"
        assert client.settings.redis_url == second.settings.redis_url


def test_it_is_a_client_with_nothing_taken_away() -> None:
    assert issubclass(EagerClient, Client)
    for name in ("store", "wait"):
        ours, theirs = (inspect.signature(getattr(each, name)) for each in (EagerClient, Client))
        assert list(ours.parameters) == list(theirs.parameters)


def test_what_a_handler_submits_belongs_to_the_owner_of_its_job(redis_url: str) -> None:
    made = Registry()

    @handler("first", into=made)
    def first(job: Job, payload: dict) -> str:
        return client.enqueue("second", {})

    @handler("second", into=made)
    def second(job: Job, payload: dict) -> str:
        return job.owner

    with EagerClient(redis_url, registry=made) as client:
        job = prepare_fields({"type": "first", "payload": {}})
        ours = client.store([job], submitter=Submitter("shop"))[0].job_id
        (inner,) = [view for view in client.jobs().jobs if view.job_id != ours]
        assert (client.job(ours).owner, inner.owner, bytes(inner.result)) == ("shop", "shop", b'"shop"')
        assert client.job(client.enqueue("second", {})).owner == ""


def test_handlers_get_payloads_that_are_files_of_their_jobs(redis_url, tmp_path, monkeypatch):
    monkeypatch.setenv("GOPHER_FILES", str(tmp_path))
    monkeypatch.setenv("GOPHER_PAYLOAD_MAX", "1MiB")
    with EagerClient(redis_url, registry=make_registry()) as client:
        job_id = client.enqueue("double", {"value": 21, "rest": "x" * 300_000})
        assert msgspec.json.decode(client.job(job_id).result)["value"] == 42
        assert client.files.read(job_id, "payload.json").startswith(b'{"value":21,')

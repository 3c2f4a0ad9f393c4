"""What a handler declares for its jobs counts where a submission says nothing, however it comes."""

from dataclasses import dataclass

import msgspec
import pytest

from gopher.client import Client
from gopher.errors import ConfigurationError, InvalidJob
from gopher.jobs import handlers
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import decode_envelope
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.schedule import ScheduleSpec, parse_spec
from gopher.jobs.submission import parse


@dataclass
class Picture:
    customer: str
    page: int = 1


@pytest.fixture
def registry():
    registry = Registry()

    @handler(
        "resize",
        into=registry,
        queue="images",
        priority="low",
        retention="1h",
        expires_in="10m",
        unique_key=lambda picture: None if picture.page > 9 else f"{picture.customer}/{picture.page}",
        unique_for="30s",
        tags=["media", "slow", "media"],
        durability="stored",
    )
    def resize(job, payload: Picture) -> None: ...

    @handler("plain", into=registry)
    def plain(job, payload: dict) -> None: ...

    @handler("nightly", into=registry, cron="0 3 * * *", queue="images", priority="low", retention="1h")
    def nightly(job, payload: dict) -> None: ...

    return registry


@pytest.fixture
def client(redis_url, namespace, registry):
    with Client(redis_url, namespace=namespace, registry=registry) as client:
        yield client


def test_a_submission_without_options_has_those_of_its_handler(registry):
    job = prepare_fields({"type": "resize", "payload": {"customer": "ann"}}, registry)
    assert (job.queue, job.priority, job.retention, job.expires) == ("images", "low", 3600, "+600000")
    assert (job.unique_key, job.unique_for, job.durability) == ("ann/1", 30, "stored")
    assert decode_envelope(job.envelope).tags == ("media", "slow")


def test_what_a_submission_says_counts_also_where_it_is_the_default(registry):
    said = {
        "queue": "default",
        "priority": "normal",
        "retention": 5,
        "expires_in": 7,
        "unique_key": "k",
        "unique_for": 9,
        "tags": [],
        "durability": "replicated",
    }
    job = prepare_fields({"type": "resize", "payload": {"customer": "ann"}, **said}, registry)
    assert (job.queue, job.priority, job.retention, job.expires) == ("default", "normal", 5, "+7000")
    assert (job.unique_key, job.unique_for, job.durability) == ("k", 9, "replicated")
    assert decode_envelope(job.envelope).tags == ()


def test_a_function_may_say_that_a_job_has_no_key(registry):
    assert prepare_fields({"type": "resize", "payload": {"customer": "a", "page": 10}}, registry).unique_key == ""


def test_one_many_and_a_batch_go_to_the_queue_that_is_declared(client):
    payload = {"customer": "ann"}
    assert client.job(client.enqueue("resize", payload)).queue == "images"
    assert client.enqueue("resize", payload) == client.enqueue("resize", payload)
    many = client.enqueue_many([{"type": "resize", "payload": {"customer": f"c{n}"}} for n in range(3)])
    assert {client.job(job_id).queue for job_id in many} == {"images"}
    lines = [msgspec.json.encode({"type": "resize", "payload": {"customer": f"d{n}"}}) for n in range(2)]
    assert {client.job(stored.job_id).priority for stored in client.submit_batch(lines)} == {"low"}
    assert client.submit(parse(b'{"type":"resize","payload":{"customer":"e"}}')).queue == "images"
    again = [client.submit_batch(lines[:1], idempotency_key="key")[0].job_id for _ in range(2)]
    assert again[0] == again[1]


def test_a_client_without_a_registry_knows_what_this_process_has_imported(redis_url, namespace, registry, monkeypatch):
    monkeypatch.setattr("gopher.queue.announced_types.registry", registry)
    with Client(redis_url, namespace=namespace) as client:
        assert client.job(client.enqueue("resize", {"customer": "ann"})).queue == "images"


def test_schedules_have_it_too(client, registry):
    client.schedules.declare(registry)
    view = client.schedules.get("nightly")
    assert (view.queue, view.priority, view.retention) == ("images", "low", 3600)
    given = {"cron_expression": "@daily", "type": "resize", "payload": {"customer": "ann"}}
    spec = parse_spec(msgspec.json.encode(given), registry)
    assert (spec.queue, spec.priority, spec.expires_in) == ("images", "low", 600)
    assert parse_spec(msgspec.json.encode({**given, "queue": "default"}), registry).queue == "default"


def test_a_schedule_that_is_put_from_python_has_it_where_it_says_nothing(client):
    spec = ScheduleSpec(cron_expression="@daily", type="resize", payload=msgspec.Raw(b'{"customer":"ann"}'))
    view, _ = client.schedules.put("one", spec)
    assert (view.queue, view.priority, view.retention, view.expires_in) == ("images", "low", 3600, 600)
    assert view.tags == ["media", "slow"]
    assert client.schedules.put("one", spec)[1] == "UNCHANGED"
    said = msgspec.structs.replace(spec, queue="default", priority="normal", retention="5s", tags=[])
    view, _ = client.schedules.put("one", said)
    assert (view.queue, view.priority, view.retention, view.tags) == ("default", "normal", "5s", [])
    # Pausing it is no reason to ask the handler again.
    assert client.schedules.pause("one").queue == "default"
    assert client.job(client.run_schedule("one")).tags == []


def test_a_schedule_without_tags_is_stored_as_earlier_versions_can_read_it():
    spec = ScheduleSpec(cron_expression="@daily", type="plain", payload=msgspec.Raw(b"{}"))
    stored = msgspec.json.decode(spec.definition())
    assert "tags" not in stored
    assert (stored["queue"], stored["priority"]) == ("default", "normal")
    assert spec.definition() == msgspec.structs.replace(spec, tags=[], queue="default").definition()


def test_a_recurring_submission_makes_its_schedule_there(registry):
    from gopher.jobs.schedule import from_recurring

    submission = parse(b'{"type":"resize","payload":{"customer":"ann"},"recurring":{"cron_expression":"@daily"}}')
    _, spec = from_recurring(submission.recurring, submission, registry)
    assert (spec.queue, spec.priority, spec.retention) == ("images", "low", 3600)


def test_a_key_that_can_not_be_told_names_the_field(registry):
    @handler("broken", into=registry, unique_key=lambda payload: payload["no"])
    def broken(job, payload: dict) -> None: ...

    with pytest.raises(InvalidJob, match="KeyError") as raised:
        prepare_fields({"type": "broken", "payload": {}}, registry)
    assert raised.value.field == "/unique_key"
    with pytest.raises(InvalidJob) as raised:
        prepare_fields({"type": "resize", "payload": {"customer": "two words"}}, registry)
    assert raised.value.field == "/unique_key"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": "no queue"}, "queue='no queue': must match"),
        ({"priority": "urgent"}, "priority='urgent': must be one of"),
        ({"retention": "400d"}, "retention='400d'"),
        ({"expires_in": 0}, "expires_in=0: must be greater than 0"),
        ({"unique_for": "1m"}, "unique_for requires unique_key"),
        ({"unique_key": "customer"}, "unique_key='customer': must be a function"),
        ({"tags": "media"}, "tags='media': must be a list of tags"),
        ({"tags": ["two words"]}, "tags: 'two words' must have"),
        ({"tags": [f"t{n}" for n in range(21)]}, "tags: there are 21; the maximum is 20"),
        ({"unique_key": lambda: "x"}, "unique_key: the function must take one argument"),
    ],
)
def test_what_the_api_would_refuse_can_not_be_declared(options, message):
    with pytest.raises(ConfigurationError, match=message):

        @handler("x", into=Registry(), **options)
        def x(job, payload: dict) -> None: ...

    assert handlers.registry.get("x") is None


def test_a_handlers_unique_mode_counts_for_jobs_with_a_unique_key():
    registry = Registry()
    key = lambda payload: payload.get("doc")  # noqa: E731
    handler("index", into=registry, unique_key=key, unique_mode="replace", max_wait="1m")(lambda job, payload: None)
    job = prepare_fields({"type": "index", "payload": {"doc": "7"}, "delay": "5s"}, registry)
    assert (job.unique_key, job.unique_mode, job.max_wait) == ("7", "replace", 60.0)
    job = prepare_fields({"type": "index", "payload": {"doc": "7"}, "unique_mode": "reject"}, registry)
    assert (job.unique_mode, job.max_wait) == ("reject", None)
    job = prepare_fields({"type": "index", "payload": {"doc": "7"}, "unique_mode": "keep"}, registry)
    assert (job.unique_mode, job.max_wait) == ("", None)
    job = prepare_fields({"type": "index", "payload": {}}, registry)
    assert (job.unique_key, job.unique_mode) == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unique_mode": "newest"}, "unique_mode='newest': must be one of keep, replace, reject"),
        ({"max_wait": "1m"}, 'max_wait requires unique_mode="replace"'),
        ({"unique_mode": "replace", "max_wait": 0}, "max_wait=0: must be greater than 0"),
    ],
)
def test_a_handlers_mode_is_checked_when_it_is_registered(options, message):
    registry = Registry()
    with pytest.raises(ConfigurationError) as caught:
        handler("index", into=registry, unique_key=str, **options)(lambda job, payload: None)
    assert message in str(caught.value)

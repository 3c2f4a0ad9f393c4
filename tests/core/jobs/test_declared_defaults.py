"""What a handler declares for its jobs counts where a submission says nothing, however it comes."""

from dataclasses import dataclass

import msgspec
import pytest

from gopher.client import Client
from gopher.errors import ConfigurationError, InvalidJob
from gopher.jobs import handlers
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.schedule import parse_spec
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
    assert (job.unique_key, job.unique_for) == ("ann/1", 30)


def test_what_a_submission_says_counts_also_where_it_is_the_default(registry):
    said = {
        "queue": "default",
        "priority": "normal",
        "retention": 5,
        "expires_in": 7,
        "unique_key": "k",
        "unique_for": 9,
    }
    job = prepare_fields({"type": "resize", "payload": {"customer": "ann"}, **said}, registry)
    assert (job.queue, job.priority, job.retention, job.expires) == ("default", "normal", 5, "+7000")
    assert (job.unique_key, job.unique_for) == ("k", 9)


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
    monkeypatch.setattr("gopher.jobs.defaults.registered", registry)
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
        ({"unique_for": "1m"}, "unique_for goes with unique_key"),
        ({"unique_key": "customer"}, "unique_key='customer': must be a function"),
        ({"unique_key": lambda: "x"}, "unique_key: its function must take the payload"),
    ],
)
def test_what_the_api_would_refuse_can_not_be_declared(options, message):
    with pytest.raises(ConfigurationError, match=message):

        @handler("x", into=Registry(), **options)
        def x(job, payload: dict) -> None: ...

    assert handlers.registry.get("x") is None

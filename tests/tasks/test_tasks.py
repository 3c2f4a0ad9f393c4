"""Tasks: submitted by calling a function, with the real scripts, and run in the test's process."""

import asyncio
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from gopher.app.examples import example
from gopher.testing import EagerClient, run_job

from gopher import AsyncClient, Client, Job, JobFailed, Task, configure, handler, task
from gopher.errors import ConfigurationError, InvalidJob
from gopher.jobs.handler_options import HandlerOptions
from gopher.jobs.handlers import Registry
from gopher.jobs.option_hints import OF_DECORATORS, OF_SUBMISSIONS
from gopher.jobs.submission import Submission
from gopher.tasks import default_client as default
from tests.tasks import shop_tasks as shop


@pytest.fixture
def client(redis_url: str) -> Iterator[EagerClient]:
    with EagerClient(redis_url, registry=shop.REGISTRY, raise_errors=False) as made:
        yield made


def test_a_task_is_submitted_with_the_arguments_of_its_function(client: EagerClient) -> None:
    handle = shop.send_mail.delay("ab", n=3)
    assert handle.result(timeout=60) == "ababab"
    view = client.job(handle.id)
    assert (view.type, bytes(view.payload)) == ("tests.tasks.shop_tasks.send_mail", b'{"to":"ab","n":3}')
    # A default is the one of the worker's code.
    assert bytes(client.job(shop.send_mail.delay("ab").id).payload) == b'{"to":"ab"}'
    assert shop.resize.delay(10, crop=True).result() == [10, 1]
    assert shop.send_mail.handle(handle.id).result() == "ababab"


def test_a_task_is_still_its_function() -> None:
    assert shop.send_mail("ab", 2) == "abab"
    assert shop.export("orders") == {"table": "orders", "type": shop.export.name}
    assert asyncio.run(shop.fetch("a")) == b"a"
    assert pickle.loads(pickle.dumps(shop.send_mail)) is shop.send_mail
    assert (shop.send_mail.__name__, shop.send_mail.__doc__) == ("send_mail", "Sends a mail.")


def test_options_are_those_of_the_task_and_of_the_submission(client: EagerClient) -> None:
    resized = shop.resize.delay(10).view()
    assert (resized.type, resized.queue, resized.tags) == ("shop.own-name", "media", ["pictures"])
    later = shop.send_mail.options(delay=timedelta(minutes=5), queue="mail").options(tags=["a"]).delay("ab")
    assert (later.status, later.view().queue, later.view().tags) == ("scheduled", "mail", ["a"])
    with pytest.raises(TimeoutError, match="is scheduled after 10ms"):
        later.result(timedelta(milliseconds=10))
    client.run_scheduled()
    assert later.result() == "ab"
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    handle = shop.send_mail.options(execute_at=tomorrow, expires_at=tomorrow + timedelta(hours=1)).delay("ab")
    assert handle.view().execute_at == tomorrow.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert handle.cancel() == "cancelled"
    with pytest.raises(InvalidJob, match="/execute_at: is 2030-01-01T00:00:00, without a timezone"):
        shop.send_mail.options(execute_at=datetime(2030, 1, 1)).delay("ab")  # noqa: DTZ001


def test_many_jobs_are_submitted_in_one_call(client: EagerClient) -> None:
    assert [each.result() for each in shop.send_mail.map(["a", "b"])] == ["a", "b"]
    assert [each.result() for each in shop.send_mail.map([("a", 2), ("b", 3)])] == ["aa", "bbb"]
    with pytest.raises(InvalidJob, match="/payload/to"):
        shop.send_mail.map(["a", None])
    assert client.jobs(job_type=shop.send_mail.name).jobs[3:] == client.jobs().jobs[3:]
    first, second = client.enqueue_many([shop.send_mail.job("a"), shop.resize.options(queue="cpu").job(10)])
    assert (shop.send_mail.handle(first).result(), client.job(second).queue) == ("a", "cpu")
    assert len(shop.pages.delay(3).result()) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shop.send_mail.delay(17), "/payload/to: expected `str`, got `int`"),
        (lambda: shop.send_mail.delay(n=3), "/payload/to: missing a required argument: 'to'; the task is send_mail(to"),
        (lambda: shop.send_mail.delay("ab", m=3), "/payload/m: got an unexpected keyword argument 'm'"),
        (lambda: shop.send_mail.delay("ab", 1, 2), "/payload: too many positional arguments"),
        (lambda: shop.send_mail.delay("ab", float("nan")), "/payload/n: is NaN or infinite"),
        (lambda: shop.send_mail.delay(object()), "/payload: can't be encoded as JSON: objects of type object"),
        (lambda: shop.send_mail.options(qeue="mail").delay("ab"), "/qeue: is not an option of a job: did you mean"),
        (
            lambda: shop.order.delay([], shop.Customer("ann", date.min), {"street": 3}, datetime.now(UTC)),
            "/payload/address: street: Input should be a valid string; moved: Field required",
        ),
    ],
)  # fmt: skip
def test_an_invalid_argument_is_named_when_the_task_is_submitted(client: EagerClient, call, message: str) -> None:
    with pytest.raises(InvalidJob, match=re.escape(message)):
        call()
    assert not client.jobs().jobs


def test_arguments_and_results_have_the_types_of_their_annotations(client: EagerClient) -> None:
    customer = shop.Customer("ann", date(2020, 1, 1))
    address = shop.Address(street="Main", moved=datetime(2026, 1, 1, tzinfo=UTC))
    address.before.append(shop.Address(street="Old", moved=datetime(2020, 1, 1, tzinfo=UTC)))
    lines = [shop.Line("a", Decimal("1.10")), shop.Line("b", Decimal("2.20"))]
    handle = shop.order.delay(
        lines,
        customer,
        address,
        datetime.now(UTC),
        patience=timedelta(hours=1),
        coupon=uuid4(),
        tags=frozenset({"new"}),
    )
    assert handle.result() == (customer, address, Decimal("3.30"), timedelta(hours=1))
    assert shop.fetch.delay("a").result() == b"a"
    (schema,) = [each.payload_schema for each in client.types() if each.name == shop.order.name]
    fields = schema["$defs"]["Order"]["properties"]
    assert fields["address"]["properties"]["before"] == {
        "default": [], "items": {"type": "object", "title": "Address"}, "title": "Before", "type": "array",
    }  # fmt: skip
    assert fields["patience"] == {"type": "string", "format": "duration", "default": "PT60S"}


def test_the_example_of_a_task_is_a_valid_submission(client: EagerClient) -> None:
    for each in client.types():
        made = example(each.payload_schema)
        if each.name == shop.order.name:
            assert (made["customer"]["since"], made["address"]["moved"]) == ("2026-11-24", "2026-11-24T10:26:07Z")
            # The schema of a datetime has no format: it may have a timezone or not.
            made["when"] = "2026-11-24T10:26:07Z"
        shop.REGISTRY.require(each.name).validated(msgspec.json.encode(made))


def test_a_failed_job_raises_its_error_with_the_traceback_of_the_worker(client: EagerClient) -> None:
    handle = shop.export.delay("broken")
    with pytest.raises(JobFailed, match=r"is failed: LookupError: no table broken\n\nIn the worker:\nTrace") as caught:
        handle.result()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.job_id, error.status, error.error_type) == (handle.id, "failed", "LookupError")
        assert "in export\n    raise LookupError" in error.traceback
    cancelled = shop.export.options(delay="1h").delay("orders")
    cancelled.cancel()
    with pytest.raises(JobFailed, match="is cancelled$"):
        cancelled.result()


def test_tasks_run_in_tests_like_handlers(client: EagerClient) -> None:
    assert run_job(shop.send_mail, {"to": "a", "n": 2}) == "aa"
    assert run_job(shop.send_mail.name, {"to": "a"}, registry=shop.REGISTRY) == "a"
    with pytest.raises(LookupError):
        run_job(shop.export, {"table": "broken"})
    assert client.enqueue(shop.send_mail.name, {"to": "a"})


def test_only_the_named_exceptions_are_retried_as_often_as_there_are_waits(client: EagerClient) -> None:
    for error, attempts in (("ConnectionError", 3), ("ValueError", 1)):
        with pytest.raises(JobFailed, match=f"{error}: attempt {attempts}"):
            shop.unsteady.delay(error).result()


def test_a_task_declares_schedules_with_arguments(client: EagerClient) -> None:
    client.schedules.declare(shop.REGISTRY)
    found = {each.name: (each.cron_expression, bytes(each.payload)) for each in client.schedules.all()}
    assert found["remind-ann"] == ("every 45 minutes", b'{"to":"ann","price":"1.50"}')
    assert found[f"{shop.remind.name}-2"] == ("@daily", b"{}")
    assert shop.remind.handle(client.run_schedule("remind-ann")).result() == "ann 1.50"


def test_tasks_are_submitted_by_the_configured_client_or_one_of_the_environment(
    client: EagerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "_instead", [])
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:2")
    made: list[Client] = []
    for source in (None, lambda: made.append(Client("redis://127.0.0.1:1")) or made[-1], client):
        configure(source)
        found = default.default_client()
        assert found is default.default_client()
        made.append(found)
    configure(None)
    assert [each.settings.redis_url for each in made[:2]] == ["redis://127.0.0.1:2/0", "redis://127.0.0.1:1/0"]
    assert made[2] is made[1]
    assert made[3] is client
    for each in made[:3]:
        each.close()


def test_an_option_of_celery_or_rq_is_refused_with_the_one_that_replaces_it(client: EagerClient) -> None:
    known = {*HandlerOptions.__annotations__, "bind"}
    assert not known & OF_DECORATORS.keys()
    assert not set(Submission.__struct_fields__) & OF_SUBMISSIONS.keys()
    for options, remedy in (
        ({"autoretry_for": (OSError,)}, r"write retry_on=\(...\)"),
        ({"base": object}, "use middleware"),
        ({"default_retry_delay": 60}, "write backoff="),
    ):
        with pytest.raises(TypeError, match=rf"@task\(\) has no option '{next(iter(options))}': {remedy}"):
            task(**options)
    for option, remedy in (("countdown", "delay="), ("depends_on", r"after=\[job.id\]"), ("job_timeout", "timeout=")):
        with pytest.raises(InvalidJob, match=f"/{option}: is not an option of a job: write {remedy}"):
            shop.send_mail.options(**{option: 5}).delay("ab")


def test_a_job_can_be_returned_by_a_web_framework(client: EagerClient) -> None:
    view = shop.send_mail.options(metadata={"order": 17}).delay("ab", n=3).view().as_dict()
    assert json.loads(json.dumps(view)) == view
    assert shop.send_mail.handle(view["job_id"]).done
    assert not shop.send_mail.options(delay="1h").delay("ab").done
    assert (view["result"], view["payload"], view["metadata"], view["error"], view["progress"]) == (
        "ababab", {"to": "ab", "n": 3}, {"order": 17}, None, None,
    )  # fmt: skip


def test_within_an_eager_client_an_application_may_configure_what_it_likes(client: EagerClient) -> None:
    with Client("redis://127.0.0.1:1") as real:
        configure(real)
        assert shop.send_mail.delay("a").result() == "a"
        configure(None)
        assert shop.send_mail.using(client).delay("a").result() == "a"


def test_a_client_whose_calls_are_awaited_is_refused_since_nothing_would_be_submitted(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default, "_instead", [])
    awaited: Any = AsyncClient(redis_url)
    for use in (configure, shop.send_mail.using):
        with pytest.raises(ConfigurationError, match=r"AsyncClient.*: expected a Client or an HttpClient"):
            use(awaited)
    configure(lambda: awaited)
    with pytest.raises(ConfigurationError, match="await client.enqueue_many"):
        shop.send_mail.delay("a")
    configure(None)


def test_what_makes_the_client_may_configure_one_itself(client: EagerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_client() -> Client:
        # As an application does that is created for its client.
        configure(lambda: client)
        return client

    monkeypatch.setattr(default, "_instead", [])
    configure(make_client)
    submitting = threading.Thread(target=shop.send_mail.delay, args=["a"], daemon=True)
    submitting.start()
    submitting.join(60)
    assert not submitting.is_alive()
    assert len(client.jobs().jobs) == 1
    configure(None)


class Own:
    """What only a program knows."""


def of_own_type(one: Own) -> None: ...
def takes_the_job(job: Job, n: int) -> None: ...
def takes_many(*names: str, **more: int) -> None: ...
def takes_a_private_name(__n: int) -> None: ...
def badName() -> None: ...  # noqa: N802
def of_unknown_type(one: "Nothing") -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (of_own_type, "test_tasks.Own is not a type of data"),
        (takes_the_job, r"job is the job, no argument: write @task\(bind=True\)"),
        (takes_many, r"write `names: list` instead of `\*names`"),
        (takes_a_private_name, "__n is no name of a field: write it without the leading underscores"),
        (badName, "give it another one"),
        (of_unknown_type, "name 'Nothing' is not defined"),
        (lambda: None, "give it another one"),
        (Own, "is a class; use a function"),
    ],
)
def test_what_can_not_be_a_task_is_rejected_at_its_declaration(function, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        task(into=Registry())(function)


def test_two_tasks_of_one_name_are_told_apart_by_their_modules_only() -> None:
    registry = Registry()
    assert isinstance(task(into=registry)(send_mail), Task)
    task(into=registry)(shop.send_mail.function)
    assert [each.name.rpartition(".")[0] for each in registry] == ["tests.tasks.shop_tasks", "tests.tasks.test_tasks"]
    with pytest.raises(ConfigurationError, match="has two handlers"):
        handler(shop.send_mail.name, into=registry)(takes_a_payload)
    with pytest.raises(TypeError, match=r"@task\(\) has no option 'quue': did you mean 'queue'\?"):
        task(quue="mail")


def send_mail(to: str) -> None: ...
def takes_a_payload(job: Job, payload: dict) -> None: ...


def test_a_script_names_its_tasks_as_a_worker_does_that_imports_it(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text(
        "from gopher import task\n@task\ndef greet() -> None: ...\nprint(greet.name)\n"
    )
    for how in (["my_tasks.py"], ["-m", "my_tasks"], ["-c", "import my_tasks"]):
        ran = subprocess.run([sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ran.stdout == "my_tasks.greet\n"


def test_a_payload_may_be_json_already(client: EagerClient) -> None:
    payload = msgspec.Raw(b'{"to":"a","n":null}')
    with pytest.raises(InvalidJob, match="/payload/n: expected `int`, got `null`"):
        client.enqueue_many([{"type": shop.send_mail.name, "payload": payload}])

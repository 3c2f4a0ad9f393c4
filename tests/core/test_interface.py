"""Each operation is declared once, and done by the client itself; names that were changed still answer."""

import inspect
from collections.abc import Iterator

import pytest

import gopher.errors
import gopher.views
from gopher import Client, HttpClient
from gopher.interface import (
    BatchesInterface,
    DeadLettersInterface,
    FilesInterface,
    FleetInterface,
    FlowInterface,
    Gopher,
    KeysInterface,
    SchedulesInterface,
    WaitingInterface,
    WebhooksInterface,
)
from gopher.interface.operation import declaration_of, declared_of
from gopher.jobs import filters, lists
from gopher.jobs.submission import Submission
from tests.seeding import SeedingWorker

PARTS = (
    Gopher,
    BatchesInterface,
    DeadLettersInterface,
    FlowInterface,
    SchedulesInterface,
    KeysInterface,
    FilesInterface,
    FleetInterface,
    WaitingInterface,
    WebhooksInterface,
)
OPERATIONS = [(kind, name) for kind in PARTS for name, each in vars(kind).items() if declared_of(each)]


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.mark.parametrize(("kind", "name"), OPERATIONS, ids=lambda value: getattr(value, "__name__", value))
def test_the_client_does_each_operation_itself_with_the_parameters_that_are_declared(
    client: Client, kind: type, name: str
) -> None:
    own = getattr(client, kind.part) if kind.part else client
    assert getattr(type(own), name) is not getattr(kind, name)
    ours, declared = (inspect.signature(getattr(each, name)).parameters for each in (type(own), kind))
    # Those that only the server itself can tell may be added.
    assert [*ours][: len(declared)] == [*declared]
    assert all(each.default is not inspect.Parameter.empty for each in [*ours.values()][len(declared) :])


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in PARTS for name, each in vars(kind).items() if getattr(each, "is_audited", False)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_client_writes_an_entry_of_each_operation_that_changes_something(
    client: Client, kind: type, name: str
) -> None:
    own = getattr(client, kind.part) if kind.part else client
    assert hasattr(getattr(type(own), name), "audited_as"), f"declare {type(own).__name__} as audited (admin/audit.py)"


def test_what_changes_nothing_or_submits_is_not_audited() -> None:
    declared = {name: declaration_of(getattr(kind, name)) for kind, name in OPERATIONS}
    assert {name for name, each in declared.items() if each.method != "GET" and not each.audited} == {
        "seal",
        "submit",
        "submit_batch",
        "upload",
    }
    assert not [name for name, each in declared.items() if each.method == "GET" and each.audited]


def test_no_two_operations_are_at_the_same_place() -> None:
    places = [(each.method, each.route) for kind, name in OPERATIONS for each in [declaration_of(getattr(kind, name))]]
    assert len(places) == len(set(places)) > 30


def test_the_methods_of_both_clients_have_the_same_parameters() -> None:
    asked = [name for name, value in vars(Gopher).items() if not name.startswith("_") and callable(value)]
    assert len(asked) > 15
    for name in asked:
        ours, theirs = (list(inspect.signature(getattr(each, name)).parameters) for each in (HttpClient, Client))
        assert ours == theirs, name


def test_a_filter_is_declared_with_a_text_for_each_field() -> None:
    for kind in (*vars(filters).values(), *vars(lists).values()):
        if inspect.isclass(kind) and kind.__module__ in (filters.__name__, lists.__name__):
            for name, parameter in inspect.signature(kind).parameters.items():
                assert "description=" in str(parameter.annotation), f"{kind.__name__}.{name}"


# Names that were changed


@pytest.fixture
def redrive(client: Client) -> str:
    client.enqueue("email", {})
    worker = SeedingWorker(client)
    worker.dead_letter(worker.fetch()[0], "ValueError")
    return client.dead_letters.retry_gradually(rate="1/h").redrive_id


def test_the_old_names_of_redrives_do_the_same_with_a_warning(client: Client, redrive: str) -> None:
    with pytest.deprecated_call(match="use redrives"):
        (view,) = client.dead_letters.retries()
    with pytest.deprecated_call(match="use redrive_id"):
        assert view.retry_id == redrive
    with pytest.deprecated_call(match="use stop_redrive"):
        assert client.dead_letters.stop_retry(redrive) is True
    with pytest.deprecated_call(match="use redrive_id"):
        assert client.dead_letters.retry_gradually(rate="1/h").retry_id


def test_the_old_name_of_a_dry_run_does_the_same_with_a_warning(client: Client) -> None:
    with pytest.deprecated_call(match="use dry_run_submission") as caught:
        assert client.rehearse_submission(Submission("email", b"{}")).type == "email"
    assert caught[0].filename == __file__


def test_old_class_names_are_aliases_of_the_new_ones_with_a_warning() -> None:
    with pytest.deprecated_call(match="use RedriveView"):
        assert gopher.views.RetryView is gopher.views.RedriveView
    with pytest.deprecated_call(match="use RedriveNotFound"):
        from gopher.errors import RetryNotFound
    assert RetryNotFound is gopher.errors.RedriveNotFound
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = gopher.views.Nothing

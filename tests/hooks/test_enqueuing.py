"""Middleware around enqueuing: in the process that stores jobs, one call for those of one call."""

import msgspec
import pytest

from gopher import middleware
from gopher.client import Client
from gopher.errors import ConfigurationError, InvalidJob
from gopher.hooks import registered


@pytest.fixture(autouse=True)
def _no_middleware():
    yield
    registered.clear()


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


class Notes(middleware.Middleware):
    def __init__(self, name, heard, fails=""):
        self.name, self.heard, self.fails = name, heard, fails

    def before_enqueue(self, jobs):
        self.heard.append((self.name, "before", [job.payload for job in jobs]))
        if self.fails == "before":
            raise PermissionError("not now")

    def after_enqueue(self, jobs, error):
        self.heard.append((self.name, "after", error and str(error)))
        if self.fails == "after":
            raise ValueError("too late")


def test_one_job_many_and_a_batch_are_told_in_order(client):
    heard = []
    middleware.add(Notes("outer", heard))
    middleware.add(Notes("inner", heard))
    client.enqueue("a", {"n": 1})
    client.enqueue_many([{"type": "a", "payload": {"n": 1}}, {"type": "b", "payload": {"n": 2}, "queue": "other"}])
    client.submit_batch([b'{"type": "a", "payload": {"n": 3}}'], idempotency_key="k")
    rounds = [[{"n": 1}], [{"n": 1}, {"n": 2}], [{"n": 3}]]
    assert heard == [
        each
        for payloads in rounds
        for each in (
            ("outer", "before", payloads),
            ("inner", "before", payloads),
            ("inner", "after", None),
            ("outer", "after", None),
        )
    ]


def test_what_before_raises_the_caller_gets_and_nothing_is_stored(client):
    heard = []
    middleware.add(Notes("outer", heard))
    middleware.add(Notes("inner", heard, fails="before"))
    with pytest.raises(PermissionError):
        client.enqueue("a", {})
    assert heard == [("outer", "before", [{}]), ("inner", "before", [{}]), ("outer", "after", "not now")]
    assert not client.jobs().jobs


def test_what_after_raises_is_logged_for_the_jobs_are_stored(client, caplog):
    middleware.add(Notes("inner", [], fails="after"))
    assert client.job(client.enqueue("a", {})).status == "pending"
    assert "Notes.after_enqueue() has failed" in caplog.text


def test_metadata_may_be_added_and_is_checked(client):
    class Stamps:
        def before_enqueue(self, jobs):
            for job in jobs:
                job.metadata["release"] = release

    middleware.add(Stamps())
    release = "v7"
    view = client.job(client.enqueue("a", {"n": 1}, metadata={"by": "me"}, priority="high", max_retries=3))
    assert (*map(msgspec.json.decode, (view.metadata, view.payload)), view.priority, view.max_retries) == (
        {"by": "me", "release": "v7"},
        {"n": 1},
        "high",
        3,
    )
    release = "x" * 5000
    with pytest.raises(InvalidJob, match="/metadata"):
        client.enqueue("a", {})


def test_after_enqueue_gets_the_job_that_a_duplicate_refers_to(client):
    heard = []

    class Notes:
        def after_enqueue(self, jobs, error):
            heard.extend((job.job_id, job.duplicate) for job in jobs)

    middleware.add(Notes())
    first, second = (client.enqueue("a", {}, unique_key="k") for _ in range(2))
    assert first == second
    assert heard == [(first, False), (first, True)]


class Misspelt(middleware.Middleware):
    def on_fail(self, job, outcome):
        pass

    def before(self, job):
        pass


class Asynchronous:
    async def before(self, job):
        pass


class TooFew:
    def after(self, job):
        pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Misspelt, r"add an instance, middleware.add\(Misspelt\(\)\)"),
        (Misspelt(), r"on_fail\(\) is not a hook: did you mean on_failure\(\)\?"),
        (Asynchronous(), r"before\(\) is a coroutine"),
        (TooFew(), r"after\(\) must take job and outcome"),
        (object(), "has no hooks"),
        (middleware.Middleware(), "has no hooks"),
    ],
)
def test_what_is_no_middleware_is_refused_when_it_is_added(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        middleware.add(wrong)
    assert not registered.attempting


def test_the_same_one_is_added_once():
    notes = Notes("a", [])
    middleware.add(notes)
    middleware.add(notes)
    assert len(registered.enqueuing) == 1

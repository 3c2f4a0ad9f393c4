"""`run_job` and `EagerClient` call middleware as a child does."""

from contextvars import ContextVar

import pytest
from gopher.testing import EagerClient, run_job

from gopher import Discard, Job, Retry, Snooze, handler, middleware
from gopher.hooks import registered
from gopher.jobs.handlers import Registry

caller: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture(autouse=True)
def noted():
    """Two middlewares, and what they hear."""
    heard: list[str] = []

    class Notes(middleware.Middleware):
        def __init__(self, name):
            self.name = name

        def before(self, job):
            heard.append(f"{self.name} before")
            caller.set(self.name)
            if job.metadata.get("before") == self.name:
                raise Discard("not today")

        def on_success(self, job, result):
            if job.metadata.get("on_success") == self.name:
                raise LookupError(f"no commit of {result}")

        def after(self, job, outcome):
            heard.append(f"{self.name} after {outcome.kind} {outcome.result}")

        def on_failure(self, job, outcome):
            function = outcome.place.rpartition(".")[2]
            heard.append(f"{self.name} on_failure {outcome.kind} {outcome.error_type} {function}")
            if job.metadata.get("on_failure") == self.name:
                raise ValueError("the hook itself")

        def on_dead(self, job, outcome):
            heard.append(f"{self.name} on_dead {type(outcome.error).__name__}")

    middleware.add(Notes("outer"))
    middleware.add(Notes("inner"))
    yield heard
    registered.clear()


@pytest.fixture
def registry():
    registry = Registry()

    @handler("works", into=registry)
    def works(job: Job, payload: dict) -> str:
        return caller.get()

    @handler("awaits", into=registry)
    async def awaits(job: Job, payload: dict) -> str:
        return caller.get()

    @handler("raises", max_retries=1, into=registry)
    def raises(job: Job, payload: dict) -> int:
        raise {"KeyError": KeyError("x"), "Snooze": Snooze("1h"), "Retry": Retry("later", after="1h")}[payload["what"]]

    @handler("wrong", max_retries=5, into=registry)
    def wrong(job: Job, payload: dict) -> int:
        return payload["result"]

    return registry


@pytest.mark.parametrize("job_type", ["works", "awaits"])
def test_the_first_is_outermost_and_what_before_sets_the_handler_sees_and_no_one_after_it(noted, registry, job_type):
    assert run_job(job_type, registry=registry) == "inner"
    assert noted == ["outer before", "inner before", "inner after completed inner", "outer after completed inner"]
    assert caller.get() == "nobody"


def test_a_failed_attempt_is_told_and_the_last_one_as_dead(noted, registry):
    with pytest.raises(KeyError):
        run_job("raises", {"what": "KeyError"}, registry=registry)
    assert noted[2:] == [
        "inner on_failure failed KeyError raises",
        "inner after failed None",
        "outer on_failure failed KeyError raises",
        "outer after failed None",
    ]
    noted.clear()
    with pytest.raises(KeyError):
        run_job("raises", {"what": "KeyError"}, attempt=2, registry=registry)
    assert [line for line in noted if "dead" in line] == ["inner on_dead KeyError", "outer on_dead KeyError"]


def test_what_is_put_off_has_not_failed(noted, registry):
    with pytest.raises(Snooze):
        run_job("raises", {"what": "Snooze"}, registry=registry)
    assert noted[2:] == ["inner after snoozed None", "outer after snoozed None"]


def test_a_result_of_the_wrong_type_is_dead_at_once(noted, registry):
    from gopher.worker.children.results import BadResult

    with pytest.raises(BadResult):
        run_job("wrong", {"result": "5"}, registry=registry)
    assert [line.split()[1:4] for line in noted if "inner on" in line] == [
        ["on_failure", "failed", "WrongResult"],
        ["on_dead", "BadResult"],
    ]


def test_a_before_that_raises_keeps_the_handler_and_those_after_it_from_running(noted, registry):
    with pytest.raises(Discard):
        run_job("works", metadata={"before": "outer"}, registry=registry)
    assert noted == ["outer before"]


def test_a_hook_that_raises_changes_nothing(noted, registry):
    with pytest.raises(KeyError):
        run_job("raises", {"what": "KeyError"}, metadata={"on_failure": "inner"}, registry=registry)
    assert noted[-1] == "outer after failed None"


def test_an_eager_client_calls_it_around_each_attempt(noted, registry, server):
    with EagerClient(url=server.url, registry=registry, raise_errors=False) as gopher:
        job_id = gopher.enqueue("raises", {"what": "KeyError"})
        assert gopher.job(job_id).attempts == 2
    kinds = [line.split()[1] for line in noted if line.startswith("inner")]
    assert kinds == ["before", "on_failure", "after", "before", "on_failure", "on_dead", "after"]


def test_an_on_success_that_raises_fails_the_attempt(noted, registry):
    with pytest.raises(LookupError, match="no commit of inner"):
        run_job("works", registry=registry, metadata={"on_success": "inner"})
    assert noted[-1] == "outer after failed None"

"""`run_job`: one handler, called as a worker would call it."""

import math
from dataclasses import dataclass
from decimal import Decimal

import pytest
from gopher.testing import Recorder, run_job
from gopher.worker.children.results import BadResult

from gopher import Job, current_job, handler
from gopher.errors import ConfigurationError, Discard, InvalidJob, UnknownType
from gopher.jobs.handlers import Registry


@dataclass
class Size:
    width: int
    height: int = 10


@pytest.fixture
def registry() -> Registry:
    made = Registry()

    @handler("area", max_retries=5, timeout="7s", into=made)
    def area(job: Job, payload: Size) -> dict:
        job.progress(0.5, "multiplying")
        job.log("%d by %d", payload.width, payload.height)
        return {
            "area": payload.width * payload.height,
            "sides": (payload.width, payload.height),
            "attempt": job.attempt,
        }

    @handler("about", into=made)
    def about(job: Job, payload: dict) -> dict:
        assert current_job() is job
        return {"id": job.id, "type": job.type, "tries": job.max_retries, "stop": job.cancelled(), **job.metadata}

    @handler("returns", into=made)
    def returns(job: Job, payload: dict) -> object:
        return {"nan": math.nan, "none": None, "digits": 2**90, "decimal": Decimal(1)}[payload["what"]]

    @handler("discards", into=made)
    def discards(job: Job, payload: dict) -> None:
        raise Discard("never")

    return made


def test_returns_the_result_as_json_brings_it_back(registry: Registry) -> None:
    assert run_job("area", {"width": 3}, registry=registry) == {"area": 30, "sides": [3, 10], "attempt": 1}
    assert run_job("area", Size(3, 4), registry=registry)["area"] == 12
    assert run_job("returns", {"what": "none"}, registry=registry) is None
    assert run_job("returns", {"what": "digits"}, registry=registry) == 2**90


def test_takes_the_function_itself() -> None:
    @handler("test_run_job_itself")
    def itself(job: Job, payload: dict) -> str:
        return job.type

    assert run_job(itself) == "test_run_job_itself"
    with pytest.raises(ConfigurationError, match="decorate it with @handler"):
        run_job(lambda job, payload: None)


def test_a_payload_that_does_not_fit_is_refused_with_its_field(registry: Registry) -> None:
    with pytest.raises(InvalidJob) as caught:
        run_job("area", {"width": "wide"}, registry=registry)
    assert caught.value.field == "/payload/width"


def test_what_the_handler_raises_is_raised(registry: Registry) -> None:
    with pytest.raises(Discard, match="never"):
        run_job("discards", registry=registry)


@pytest.mark.parametrize("what", ["nan", "decimal"])
def test_a_result_that_a_worker_would_refuse_is_refused(registry: Registry, what: str) -> None:
    with pytest.raises(BadResult):
        run_job("returns", {"what": what}, registry=registry)


def test_the_job_is_what_the_test_says(registry: Registry) -> None:
    told = run_job("about", registry=registry, metadata={"by": "ann"}, reporter=Recorder(asked_to_stop=True))
    assert (told["type"], told["tries"], told["by"], told["stop"]) == ("about", 3, "ann", True)
    assert run_job("area", {"width": 1}, registry=registry, attempt=4)["attempt"] == 4
    assert current_job() is None


def test_what_it_reports_is_recorded(registry: Registry) -> None:
    recorder = Recorder()
    run_job("area", {"width": 3}, registry=registry, reporter=recorder)
    assert (recorder.lines, recorder.reports) == (["3 by 10"], [(0.5, "multiplying")])


def test_a_type_that_is_not_registered_is_refused_with_those_that_are(registry: Registry) -> None:
    with pytest.raises(UnknownType, match="registered types: about, area"):
        run_job("nope", registry=registry)

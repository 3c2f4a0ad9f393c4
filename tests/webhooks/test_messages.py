"""What a message tells, also of an entry that an earlier version has posted."""

from typing import Any

import msgspec
import pytest

from gopher.config.settings import Settings
from gopher.webhooks.messages import End, Target, delivery_job

URL = "https://example.com/hook"


def told(job_type: str, result: str, *include: str) -> dict[str, Any]:
    """Return the data of the message of an end, as a worker reads it."""
    end = End("a-job", "completed", 1_700_000_000_000, "default", "", False, job_type, 1, "", "", result)
    job = delivery_job(end, Target("", URL, include), Settings())
    return msgspec.json.decode(job.envelope)["payload"]["body"]["data"]


@pytest.mark.parametrize("result", ['{"number":12345678901234567890}', "null", '"ä"'])
def test_a_result_is_told_as_it_is(result):
    data = told("echo", result, "result")
    assert msgspec.json.encode(data["result"]) == result.encode()
    assert "omitted" not in data


def test_a_job_without_a_result_has_none_in_its_message():
    assert {"result", "omitted"}.isdisjoint(told("echo", "", "result"))


def test_a_result_that_is_not_json_is_omitted():
    data = told("echo", "12.500 0.250 44040192", "result")
    assert data["omitted"] == ["result"]
    assert "result" not in data


def test_jobs_that_were_never_stored_are_not_counted():
    data = told("@batch", "unstored 1,completed 2,pending 0")
    assert (data["total"], data["completed"]) == (2, 2)
    assert "unstored" not in data

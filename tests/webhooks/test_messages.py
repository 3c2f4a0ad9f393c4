"""What a message tells, also of an entry that an earlier version has posted."""

from typing import Any

import msgspec

from gopher.config.settings import Settings
from gopher.webhooks.messages import End, Target, delivery_job

URL = "https://example.com/hook"


def told(job_type: str, result: str, *include: str) -> dict[str, Any]:
    """Return the data of the message of an end, as a worker reads it."""
    end = End("a-job", "completed", 1_700_000_000_000, "default", "", False, job_type, 1, "", "", result)
    job = delivery_job(end, Target("", URL, include), Settings())
    return msgspec.json.decode(job.envelope)["payload"]["body"]["data"]


def test_jobs_that_were_never_stored_are_not_counted():
    data = told("@batch", "unstored 1,completed 2,pending 0")
    assert (data["total"], data["completed"]) == (2, 2)
    assert "unstored" not in data

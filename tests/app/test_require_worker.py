"""`require_worker` over HTTP: 409 no_worker, with what may have been meant."""

import httpx
import pytest

from gopher import HttpClient
from gopher.errors import NoWorker
from tests.app.conftest import EMAIL, Api
from tests.seeding import SeedingWorker


def test_a_job_is_refused_unless_a_live_worker_serves_it(api: Api, worker: SeedingWorker, queue: str) -> None:
    worker.show("email", queues=[queue])
    assert api.submit(queue=queue, require_worker=True).status_code == 201
    answer = api.submit(queue=f"{queue}x", require_worker=True)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "no_worker", "/queue")
    assert f"did you mean '{queue}'?" in answer.json()["details"]
    job = {"type": "email", "payload": EMAIL, "require_worker": True}
    served, other = ({**job, "queue": name} for name in (queue, "y"))
    batch = api.post("/api/v1/jobs/batch", json={"jobs": [served, other]})
    assert (batch.status_code, batch.json()["code"], [each["index"] for each in batch.json()["errors"]]) == (
        409, "no_worker", [1],
    )  # fmt: skip
    lines = "\n".join(httpx.Request("POST", "http://x", json=each).content.decode() for each in (served, other))
    bulk = api.post("/api/v1/jobs/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}).json()
    assert (bulk["accepted"], [each["code"] for each in bulk["errors"]]) == (1, ["no_worker"])


def test_a_repeat_of_a_request_is_answered_as_the_first_one(api: Api, worker: SeedingWorker, queue: str) -> None:
    worker.show("email", queues=[queue])
    job = {"type": "email", "payload": EMAIL, "queue": queue, "require_worker": True}
    first = api.post("/api/v1/jobs", json=job, headers={"Idempotency-Key": queue})
    worker.show("email", queues=["other"])
    again = api.post("/api/v1/jobs", json=job, headers={"Idempotency-Key": queue})
    assert (again.status_code, again.json()) == (201, first.json())


def test_the_client_of_the_api_raises_the_same_error(api: Api, queue: str) -> None:
    with HttpClient(str(api.base_url)) as http, pytest.raises(NoWorker, match="queue"):
        http.enqueue("email", EMAIL, queue=queue, require_worker=True)

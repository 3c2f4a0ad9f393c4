"""Submissions over HTTP that are acknowledged only once a replica has the job."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from uuid import uuid4

import pytest
from gopher.cli import main

from gopher import HttpClient
from gopher.client import Client
from gopher.errors import NotReplicated
from tests.app.conftest import EMAIL, running_api
from tests.helpers import wait_until
from tests.topologies.pair import Pair

SECRET = "secret-of-the-admin"
JOB = {"type": "email", "payload": EMAIL, "durability": "replicated"}


@pytest.fixture(scope="module")
def pair():
    with Pair() as running:
        yield running


@pytest.fixture(scope="module")
def environ():
    return {
        "GOPHER_NAMESPACE": "durable",
        "GOPHER_DURABILITY_TIMEOUT": "300ms",
        "WEB_CONCURRENCY": "1",
        "GOPHER_API_KEYS": f"ann:{SECRET}",
    }


@pytest.fixture(scope="module")
def replicated(pair, environ, folder):
    with running_api(folder, pair.url, **environ) as api:
        api.headers["X-API-Key"] = SECRET
        yield api


@pytest.fixture(scope="module")
def there(pair, environ):
    with Client(pair.url, namespace=environ["GOPHER_NAMESPACE"]) as client:
        yield client


def is_not_replicated(answer):
    assert (answer.status_code, answer.json()["code"]) == (503, "not_replicated"), answer.text
    assert answer.headers["retry-after"] == "1"
    assert "not confirmed within 0.3 s by 1 replica" in answer.json()["details"]
    return answer.json()


def confirmed(api, path, **sent):
    """Return the answer to a submission once it is confirmed. Until a replica has caught up that may take longer."""
    return wait_until(lambda: (answer := api.post(path, **sent)).status_code != 503 and answer, 60, "a confirmation")


def as_lines(jobs):
    return {"content": "\n".join(map(json.dumps, jobs)), "headers": {"Content-Type": "application/x-ndjson"}}


FORMS = {
    "single": ("/api/v1/jobs", {"json": JOB}),
    "wait": ("/api/v1/jobs?wait=0.2", {"json": JOB}),
    "batch": ("/api/v1/jobs/batch", {"json": {"jobs": [JOB, JOB]}}),
    "lines": ("/api/v1/jobs/batch", as_lines([JOB, JOB])),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_submission_that_is_not_replicated_is_confirmed_by_its_repeat(pair, replicated, there, form):
    path, sent = FORMS[form]
    sent = {**sent, "headers": {**sent.get("headers", {}), "Idempotency-Key": f"{form}-{uuid4()}"}}
    with pair.frozen_replicas():
        told = [is_not_replicated(replicated.post(path, **sent)) for _ in range(2)]
    answer = confirmed(replicated, path, **sent)
    assert answer.status_code == (202 if form == "wait" else 201)
    ids = told[0]["job_ids"] if form in ("batch", "lines") else [told[0]["job_id"]]
    assert told[0].get("job_ids") == told[1].get("job_ids")
    if form == "lines":
        assert answer.json()["accepted"] == 2
    else:
        assert [each["job_id"] for each in answer.json().get("jobs", [answer.json()])] == ids
        assert answer.headers["idempotent-replayed"] == "true"
    keys = there.server.keys.for_queue("default")
    assert all(pair.replicas[0].client.exists(keys.job(job_id)) for job_id in ids)


def test_a_job_with_a_unique_key_answers_200_once_it_is_replicated(pair, replicated):
    job = {**JOB, "unique_key": "order-42"}
    with pair.frozen_replicas():
        ids = {is_not_replicated(replicated.post("/api/v1/jobs", json=job))["job_id"] for _ in range(2)}
    answer = confirmed(replicated, "/api/v1/jobs", json=job)
    assert answer.status_code == 200
    assert {answer.json()["job_id"]} == ids


def test_a_schedule_has_no_durability(replicated):
    answer = replicated.post("/api/v1/jobs", json={**JOB, "recurring": {"cron_expression": "@daily"}})
    assert (answer.status_code, answer.json()["field"]) == (400, "/durability")


def test_an_unknown_durability_is_refused(replicated):
    answer = replicated.post("/api/v1/jobs", json={**JOB, "durability": "sure"})
    assert (answer.status_code, answer.json()["field"]) == (400, "/durability")
    assert "stored, replicated, synced" in answer.json()["details"]


def test_the_clients_and_gopherctl_tell_the_id(pair, replicated, environ, monkeypatch, capfd):
    url = str(replicated.base_url)
    with HttpClient(url, SECRET) as client, pair.frozen_replicas():
        with pytest.raises(NotReplicated) as caught:
            client.enqueue("email", EMAIL, durability="replicated")
        (job_id,) = caught.value.job_ids
        assert client.job(job_id).status == "pending"
        arguments = ["submit", "-t", "email", "-p", json.dumps(EMAIL), "--durability", "replicated"]
        for where in ({"GOPHER_URL": url, "GOPHER_API_KEY": SECRET}, {**environ, "REDIS_URL": pair.url}):
            with monkeypatch.context() as patch:
                for name, value in where.items():
                    patch.setenv(name, value)
                assert main.run(arguments) == 1
            said = capfd.readouterr().err
            assert "might be lost" in said
            assert len([word for word in said.split() if word.count("-") == 4]) == 1, said


def test_plain_submissions_do_not_wait_while_replicas_are_silent(pair, environ, folder):
    def submit(job):
        began = time.monotonic()
        # One thread of httpx may close an idle connection that another one has just begun to use.
        answer = api.post("/api/v1/jobs", json=job, headers={"X-API-Key": SECRET, "Connection": "close"})
        return answer.status_code, time.monotonic() - began

    plain = {**JOB, "durability": "stored"}
    # Much longer than even a busy machine takes for a plain one.
    with running_api(folder, pair.url, **{**environ, "GOPHER_DURABILITY_TIMEOUT": "5s"}) as api:
        submit(JOB)
        with pair.frozen_replicas(), ThreadPoolExecutor(40) as threads:
            waiting = [threads.submit(submit, JOB) for _ in range(20)]
            # At once: one after the other, most of them would come after the end of whatever holds up the first.
            others = list(threads.map(submit, [plain] * 20))
            assert {each.result()[0] for each in waiting} == {503}
    assert {status for status, _ in others} == {201}
    assert median(seconds for _, seconds in others) < 2.5


def test_a_key_may_ask_for_it(pair, replicated):
    made = replicated.post("/api/v1/keys", json={"name": "shop", "durability": "replicated"}).json()
    assert made["durability"] == "replicated"
    refused = replicated.post("/api/v1/keys", json={"name": "shop", "durability": "sure"})
    assert (refused.status_code, refused.json()["field"]) == (400, "/durability")
    shop, plain = {"X-API-Key": made["secret"]}, {"type": "email", "payload": EMAIL}
    with pair.frozen_replicas():
        is_not_replicated(replicated.post("/api/v1/jobs", json=plain, headers=shop))
        assert replicated.post("/api/v1/jobs", json=plain).status_code == 201
        said = {**plain, "durability": "stored"}
        assert replicated.post("/api/v1/jobs", json=said, headers=shop).status_code == 201

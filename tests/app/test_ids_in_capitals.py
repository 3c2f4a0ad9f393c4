"""Ids are UUIDs, which may be given in capitals (RFC 9562, section 4; Swift's uuidString is): it is the same job."""

import pytest
from gopher.app import create_app

from gopher.api_client.operations import path_of
from gopher.base.states import State
from gopher.config.settings import Settings
from gopher.errors import JobNotFound
from gopher.interface import Gopher
from gopher.interface.operation import declaration_of
from tests.app.calls import APP
from tests.app.installation import Installation

#: Every call with a job's id, found in the routes: those that are added later are tried too.
#: The dashboard's forms, which need its token, make the same calls.
CALLS = sorted(
    (method, rule.rule)
    for rule in APP.url_map.iter_rules()
    for method in rule.methods - {"HEAD", "OPTIONS"}
    if rule.arguments == {"job_id"} and (method == "GET" or "/dashboard/" not in rule.rule)
)
#: What those need that do nothing without a body.
BODIES = {"/api/v1/jobs/<job_id>/move": {"priority": "high"}}

#: Those of jobs that run, and of deliveries: of other jobs they say what these are.
CONFLICTS = {
    "/api/v1/jobs/<job_id>/stack",
    "/dashboard/jobs/<job_id>/stack",
    "/api/v1/webhooks/deliveries/<job_id>/redeliver",
}


@pytest.fixture
def installation(redis_url, namespace):
    made = Installation(redis_url, namespace)
    yield made
    made.client.close()


@pytest.mark.parametrize(("method", "route"), CALLS)
def test_a_call_with_an_id_in_capitals_is_about_the_same_job(installation, method, route):
    said = set()
    for state in (State.FAILED, State.PENDING):
        job_id = installation.job_in(state)
        path, body = route.replace("<job_id>", job_id.upper()), BODIES.get(route)
        answer = installation.api.open(path, method=method, json=body)
        said.add(answer.status_code)
        assert job_id in answer.text or answer.status_code != 409
        if answer.is_json and answer.status_code < 300:
            assert answer.json.get("copied_from", answer.json.get("job_id", job_id)) == job_id
    # Some are only for dead letters, and some only for others.
    assert said <= {200, 201, 202, 409}, said
    assert (said == {409}) == (route in CONFLICTS)


def test_a_client_finds_its_own_job_by_an_id_in_capitals(redis_url, namespace):
    environ = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": "shop:0123456789abcdef:submit"}
    api, key = create_app(Settings.from_env(environ)).test_client(), {"X-API-Key": "0123456789abcdef"}
    sent = {"type": "math", "payload": {"operation": "prime", "number": 7}}
    job_id = api.post("/api/v1/jobs", json=sent, headers=key).json["job_id"]
    assert api.get(f"/api/v1/jobs/{job_id.upper()}", headers=key).json["job_id"] == job_id
    assert api.delete(f"/api/v1/jobs/{job_id.upper()}", headers=key).json["status"] == "cancelled"


def test_clients_and_commands_take_ids_in_capitals(installation):
    client, job_id = installation.client, installation.job_in(State.PENDING)
    capitals = job_id.upper()
    assert client.job(capitals).job_id == client.wait(capitals, 0).job_id == job_id
    assert client.logs(capitals) == []
    assert client.why(capitals)
    for command in ("job", "why", "logs", "cancel"):
        installation.run(command, capitals)
    assert client.job(job_id).status == State.CANCELLED
    dead, other = installation.job_in(State.FAILED), installation.job_in(State.FAILED)
    assert dead in installation.run("retry", "-i", dead.upper(), "-i", dead)
    client.dead_letters.discard(other.upper())
    with pytest.raises(JobNotFound):
        client.job(other)
    assert path_of(declaration_of(Gopher.job), {"job_id": capitals}) == f"/api/v1/jobs/{job_id}"


def test_a_job_waits_for_one_that_is_named_in_capitals(installation):
    parent = installation.job_in(State.PENDING)
    payload = {"operation": "prime", "number": 7}
    body = {"type": "math", "payload": payload, "after": [parent.upper(), parent]}
    child = installation.api.post("/api/v1/jobs", json=body).json["job_id"]
    assert installation.redis.hget(installation.keys.job(child), "parents") == parent.encode()
    installation.worker.complete(installation.worker.fetch())
    assert [job.id for job in installation.worker.fetch()] == [child]


def test_a_redrive_that_is_named_in_capitals_is_stopped(installation):
    installation.job_in(State.FAILED)
    redrive = installation.api.post("/api/v1/dlq/retry-all", json={"rate": "1/h"}).json["redrive_id"]
    assert installation.api.post(f"/api/v1/dlq/redrives/{redrive.upper()}/stop").json["stopped"] is True

"""Keys that are limited to some queues or job types: what names another one is refused, and so is what names none."""

import json
import re
from uuid import uuid4

import pytest
from gopher.app import openapi, operations

from gopher.client import Client
from gopher.jobs.job import new_job_id
from tests.app.calls import APP
from tests.app.conftest import EMAIL, running_api
from tests.seeding import SeedingWorker

MATH = {"type": "math", "payload": {"operation": "prime", "number": 7}}
MAIL = {"type": "email", "payload": EMAIL}
#: Every call that needs a key, with its route: taken from the application itself, so that a new one joins.
CALLS = sorted(
    (method, rule.rule)
    for rule in APP.url_map.iter_rules()
    for method in openapi.methods_of(rule)
    if (declared := operations.operation_of(APP, rule.endpoint)) and declared.role is not None
)
#: What shows nothing of jobs, and so does not depend on any limit.
ABOUT_NO_JOBS = {("GET", "/"), ("GET", "/openapi.json"), ("GET", "/api/v1/jobs/types")}
#: What has a filter by queue and one by type, and what has only the first.
FILTERED = {
    ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/dlq"),
    ("DELETE", "/api/v1/dlq"),
    ("POST", "/api/v1/dlq/retry-all"),
}
BY_QUEUE = {
    ("GET", "/api/v1/capacity"),
    ("GET", "/api/v1/dlq/groups"),
    ("GET", "/api/v1/timeline"),
    ("GET", "/api/v1/types/<job_type>/stats"),
}
SUBMISSIONS = {("POST", "/api/v1/jobs"), ("POST", "/api/v1/jobs/batch")}


@pytest.fixture(scope="module")
def scope_namespace():
    return f"scopes-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, scope_namespace):
    variables = {"GOPHER_API_KEYS": "ops:configured-secret", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=scope_namespace, **variables) as api:
        yield api


@pytest.fixture(scope="module")
def client(redis_url, scope_namespace):
    with Client(redis_url, namespace=scope_namespace) as client:
        yield client


@pytest.fixture(scope="module")
def keys(client):
    """The secrets of keys of several roles, limited to a queue, a type or both."""
    limits = {
        "queue": (["mail"], []),
        "type": ([], ["math"]),
        "both": (["mail"], ["math"]),
        "two": (["mail", "news"], []),
    }
    return {
        (role, limit): client.keys.create("tenant", role, *names).secret
        for role in ("submit", "read", "admin")
        for limit, names in limits.items()
    }


def ask(api, secret, method, path, **more):
    return api.request(method, path, headers={"Authorization": f"Bearer {secret}"}, **more)


def hidden(answer):
    """Return whether an answer is that to a job that does not exist."""
    return (answer.status_code, answer.json().get("code")) == (404, "not_found")


def denied(answer):
    """Return whether an answer refuses what is beyond the limits of a key, and names these."""
    is_denied = answer.status_code == 403
    if is_denied:
        assert answer.json()["code"] == "forbidden"
        assert "limited to the" in answer.json()["details"]
    return is_denied


def filled(route, queue, job_type, job_id):
    path = route.replace("<queue>", queue).replace("<job_type>", job_type).replace("<job_id>", job_id)
    return re.sub("<[^>]*>", "nothing", path)


@pytest.mark.parametrize(("method", "route"), [call for call in CALLS if call not in ABOUT_NO_JOBS | SUBMISSIONS])
def test_no_call_goes_beyond_the_limits_of_a_key(api, client, keys, method, route):
    outside = client.enqueue("email", EMAIL, queue="elsewhere")
    path = filled(route, "elsewhere", "email", outside)
    for query in ("", "?queue=elsewhere&type=email", "?queue=elsewhere", "?type=email"):
        for limit in ("queue", "type", "both", "two"):
            answer = ask(api, keys["admin", limit], method, path + query)
            # A filter that a call does not have is an error of its own, and so is a body that is missing.
            if answer.status_code == 400:
                continue
            names_another = ("queue=" in query and limit != "type") or ("type=" in query and limit in ("type", "both"))
            # What has a filter is about the only queue or type, unless it is told another one.
            is_filtered = (method, route) in FILTERED and limit != "two"
            if (is_filtered or ((method, route) in BY_QUEUE and limit == "queue")) and not names_another:
                assert answer.status_code == 200
                assert outside not in answer.text
            else:
                assert hidden(answer) if "<job_id>" in route else denied(answer), (limit, query, answer.text)
    assert client.job(outside).status == "pending"


@pytest.mark.parametrize(("method", "route"), sorted(ABOUT_NO_JOBS))
def test_what_shows_no_jobs_is_open_to_limited_keys(api, keys, method, route):
    for limit in ("queue", "type", "both", "two"):
        assert ask(api, keys["admin", limit], method, route).status_code == 200


def test_a_limited_key_submits_only_what_it_is_limited_to(api, client, keys):
    forms = {
        "single": lambda job: ({"json": job}, "/api/v1/jobs"),
        "dry run": lambda job: ({"json": job}, "/api/v1/jobs?dry_run=1"),
        "batch": lambda job: ({"json": {"jobs": [job]}}, "/api/v1/jobs/batch"),
        "lines": lambda job: (
            {"content": json.dumps(job), "extra": "application/x-ndjson"},
            "/api/v1/jobs/batch",
        ),
    }
    jobs = {
        "mail math": {**MATH, "queue": "mail"},
        "mail email": {**MAIL, "queue": "mail"},
        "elsewhere math": {**MATH, "queue": "elsewhere"},
        "default math": MATH,
    }
    allowed = {
        "queue": {"mail math", "mail email"},
        "type": {"mail math", "elsewhere math", "default math"},
        "both": {"mail math"},
        "two": {"mail math", "mail email"},
    }
    for name, form in forms.items():
        for limit, fine in allowed.items():
            for which, job in jobs.items():
                more, path = form(job)
                kind = more.pop("extra", "application/json")
                headers = {"Authorization": f"Bearer {keys['submit', limit]}", "Content-Type": kind}
                answer = api.post(path, headers=headers, **more)
                assert (answer.status_code < 300) == (which in fine), (name, limit, which, answer.text)
                if which not in fine:
                    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
                    assert "limited to the" in answer.text


def test_a_batch_names_each_job_beyond_the_limits_and_stores_none(api, client, keys):
    before = client.stats().total_enqueued
    body = {"jobs": [{**MATH, "queue": "mail"}, {**MAIL, "queue": "mail"}, MATH]}
    answer = ask(api, keys["submit", "both"], "POST", "/api/v1/jobs/batch", json=body)
    assert answer.status_code == 403
    assert [(row["index"], row["field"], row["code"]) for row in answer.json()["errors"]] == [
        (1, "/type", "forbidden"),
        (2, "/queue", "forbidden"),
    ]
    assert client.stats().total_enqueued == before


def test_a_limited_key_creates_no_schedule(api, client, keys):
    recurring = {**MATH, "queue": "mail", "recurring": {"cron_expression": "0 0 * * *", "name": "nightly"}}
    assert denied(ask(api, keys["admin", "both"], "POST", "/api/v1/jobs", json=recurring))
    spec = {**MATH, "queue": "mail", "cron_expression": "0 0 * * *"}
    assert denied(ask(api, keys["admin", "both"], "PUT", "/api/v1/schedules/nightly", json=spec))
    assert client.schedules.all() == []


def test_a_list_is_of_the_only_queue_or_type_unless_there_are_several(api, client, keys):
    inside, outside = client.enqueue("math", MATH["payload"], queue="mail"), client.enqueue("math", {}, queue="other")
    listed = ask(api, keys["read", "queue"], "GET", "/api/v1/jobs").json()["jobs"]
    assert {row["queue"] for row in listed} == {"mail"}
    assert inside in [row["job_id"] for row in listed]
    several = ask(api, keys["read", "two"], "GET", "/api/v1/jobs")
    assert denied(several)
    assert "name one of them with `queue`" in several.json()["details"]
    assert ask(api, keys["read", "two"], "GET", "/api/v1/jobs?queue=news").status_code == 200
    assert ask(api, keys["read", "both"], "GET", f"/api/v1/jobs/{inside}").status_code == 200
    assert hidden(ask(api, keys["read", "both"], "GET", f"/api/v1/jobs/{outside}"))
    assert hidden(ask(api, keys["read", "both"], "GET", f"/api/v1/jobs/{new_job_id()}"))


def test_a_limited_administrator_acts_within_its_limits(api, client, keys):
    secret = keys["admin", "queue"]
    job = client.enqueue("email", EMAIL, queue="mail")
    worker = SeedingWorker(client, "mail")
    for each in worker.fetch(100):
        worker.dead_letter(each, "ValueError")
    elsewhere = client.enqueue("email", EMAIL, queue="other-dead")
    other = SeedingWorker(client, "other-dead")
    other.dead_letter(other.fetch()[0], "ValueError")
    assert ask(api, secret, "POST", f"/api/v1/dlq/{job}/retry").status_code == 200
    assert hidden(ask(api, secret, "POST", f"/api/v1/dlq/{elsewhere}/retry"))
    assert ask(api, secret, "DELETE", "/api/v1/dlq").status_code == 200
    assert [row.queue for row in client.dead_letters.page().jobs] == ["other-dead"]
    assert ask(api, secret, "POST", "/api/v1/queues/mail/pause").status_code == 200
    assert ask(api, secret, "POST", "/api/v1/queues/mail/resume").status_code == 200
    assert denied(ask(api, secret, "POST", "/api/v1/queues/other-dead/pause"))
    assert denied(ask(api, secret, "POST", "/api/v1/types/email/pause"))


def test_a_job_of_a_type_beyond_the_limits_is_none_to_wait_for(api, client, keys):
    parent = client.enqueue("email", EMAIL, queue="mail")
    job = {**MATH, "queue": "mail", "after": [parent]}
    answers = [
        ask(api, keys["read", "type"], "POST", "/api/v1/jobs", json={**job, "after": [each]})
        for each in (parent, new_job_id("mail"))
    ]
    assert [answer.status_code for answer in answers] == [400, 400]
    details = [re.sub("[0-9a-f-]{36}", "ID", answer.json()["details"]) for answer in answers]
    assert details[0] == details[1]
    assert ask(api, keys["read", "queue"], "POST", "/api/v1/jobs", json=job).status_code == 201


def test_a_limited_key_is_not_told_which_jobs_beyond_its_limits_a_job_waits_for(api, client, keys):
    parent = client.enqueue("email", EMAIL, queue="mail")
    child = client.enqueue("math", MATH["payload"], queue="mail", after=[parent])
    told = ask(api, keys["read", "type"], "GET", f"/api/v1/jobs/{child}/why").json()["reasons"]
    assert [(each["code"], each["message"]) for each in told] == [
        ("waits_for_jobs", "it still waits for 1 of the jobs in `after`")
    ]


def test_no_limited_key_makes_or_sees_keys(api, client, keys):
    for limit in ("queue", "type", "both"):
        assert denied(ask(api, keys["admin", limit], "POST", "/api/v1/keys", json={"name": "mine", "role": "admin"}))
        assert denied(ask(api, keys["admin", limit], "GET", "/api/v1/keys"))

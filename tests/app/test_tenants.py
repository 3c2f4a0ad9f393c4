"""Tenants over HTTP: what is set for them, and keys that see and touch only the jobs of one."""

from uuid import uuid4

import pytest

from gopher.client import Client
from gopher.jobs.batch import NewBatch
from gopher.jobs.job import created_ms
from gopher.reads.tenants import waiting_by_tenant
from tests.app.conftest import EMAIL, running_api
from tests.app.test_scopes import CALLS, ask, denied, hidden

MATH = {"type": "math", "payload": {"operation": "prime", "number": 7}}
#: What a key that is limited to a tenant may list, and change without a body: the API adds the tenant.
LISTS = {("GET", "/api/v1/jobs"), ("GET", "/api/v1/dlq"), ("GET", "/api/v1/dlq/groups")}
LISTS |= {("POST", "/api/v1/dlq/retry-all"), ("DELETE", "/api/v1/dlq")}
LISTS |= {("DELETE", "/api/v1/limits/<job_type>/throttled")}
OPEN = {("GET", "/"), ("GET", "/openapi.json"), ("GET", "/api/v1/jobs/types")}


@pytest.fixture(scope="module")
def namespace_of_api():
    return f"tenants-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, namespace_of_api):
    variables = {"GOPHER_API_KEYS": "ops:configured-secret", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace_of_api, **variables) as api:
        yield api


@pytest.fixture(scope="module")
def client(redis_url, namespace_of_api):
    with Client(redis_url, namespace=namespace_of_api) as client:
        yield client


@pytest.fixture(scope="module")
def secrets(client):
    return {role: client.keys.create("shop", role, tenant="shop").secret for role in ("submit", "read", "admin")}


def test_no_call_reaches_jobs_of_another_tenant(api, client, secrets):
    others = client.enqueue("email", EMAIL, tenant="other")
    paths = {"<job_id>": others, "<queue>": "default", "<job_type>": "email", "<tenant>": "shop"}
    for method, route in CALLS:
        path = route
        for name, value in paths.items():
            path = path.replace(name, value)
        body = {"json": {"priority": "high"}} if route.endswith("/move") else {}
        answer = ask(api, secrets["admin"], method, path.replace("<", "").replace(">", ""), **body)
        if (method, route) in OPEN | LISTS:
            assert answer.status_code == 200
            assert (method, route) in OPEN or others not in answer.text
        elif "<job_id>" in route:
            assert hidden(answer), (method, route, answer.text)
        else:
            # A missing body is an error of its own.
            assert answer.status_code == 400 or denied(answer), (method, route, answer.text)
    assert client.job(others).status == "pending"


def test_a_key_of_a_tenant_works_with_the_jobs_of_that_tenant(api, client, secrets):
    sent = ask(api, secrets["submit"], "POST", "/api/v1/jobs", json=MATH)
    batch = ask(api, secrets["submit"], "POST", "/api/v1/jobs/batch", json={"jobs": [MATH]})
    ids = [sent.json()["job_id"], batch.json()["jobs"][0]["job_id"]]
    assert {client.job(job_id).tenant for job_id in ids} == {"shop"}
    assert set(ids) <= {row["job_id"] for row in ask(api, secrets["read"], "GET", "/api/v1/jobs").json()["jobs"]}
    assert ask(api, secrets["admin"], "POST", f"/api/v1/jobs/{ids[0]}/cancel").status_code == 200
    assert ask(api, secrets["read"], "GET", f"/api/v1/jobs/{ids[0]}").json()["status"] == "cancelled"


def test_another_tenant_in_a_submission_is_refused_by_name(api, client, secrets):
    answer = ask(api, secrets["admin"], "POST", "/api/v1/jobs", json={**MATH, "tenant": "other"})
    assert (answer.status_code, answer.json()["field"]) == (403, "/tenant")
    assert "the tenant shop" in answer.json()["details"]
    assert ask(api, secrets["submit"], "POST", "/api/v1/jobs", json={**MATH, "tenant": "shop"}).status_code == 201
    parent = client.enqueue("email", EMAIL, tenant="other")
    assert ask(api, secrets["read"], "POST", "/api/v1/jobs", json={**MATH, "after": [parent]}).status_code == 400


def test_a_limited_key_waits_for_no_job_beyond_its_limits_in_any_queue_and_uses_no_batch(api, client, secrets):
    mail = client.keys.create("mail", "read", ["mail"]).secret
    others = client.enqueue("email", EMAIL, tenant="other", queue="elsewhere")
    own = client.enqueue("email", EMAIL, tenant="shop", queue="elsewhere")
    batch = client.batches.create(NewBatch()).batch_id

    def status_of(secret, **fields):
        return ask(api, secret, "POST", "/api/v1/jobs", json={**MATH, "queue": "mail", **fields}).status_code

    assert [status_of(secret, after=[others]) for secret in (secrets["read"], mail, secrets["submit"])] == [400] * 3
    assert [status_of(secret, after=[own]) for secret in (secrets["read"], mail)] == [201, 400]
    for secret in (secrets["admin"], mail):
        assert (status_of(secret, batch=batch), status_of(secret, after={"batch": batch})) == (400, 400)
    assert client.batches.get(batch).total == 0


def test_settings_of_a_tenant_are_shown_and_checked(api, client):
    def call(method, **more):
        return ask(api, "configured-secret", method, "/api/v1/tenants/customer:42", **more)

    set_now = call("PUT", json={"weight": 3, "concurrency": 10, "rate": "50/s"})
    assert set_now.json() == {"tenant": "customer:42", "weight": 3, "rate": "50/s", "burst": 50, "concurrency": 10}
    client.enqueue("email", EMAIL, tenant="customer:42", queue="later")
    listed = {row["tenant"]: row for row in ask(api, "configured-secret", "GET", "/api/v1/tenants").json()["tenants"]}
    assert listed["customer:42"]["weight"] == 3
    keys = client.server.keys.for_queue("later")
    assert client.server.client.hgetall(keys.tenants) == {b"customer:42": b"3*"}
    assert (call("PUT", json={"weight": 101}).status_code, call("PUT", json={"rate": "x"}).status_code) == (400, 400)
    assert [call("DELETE").json()["deleted"] for _ in range(2)] == [True, False]
    assert client.server.client.hgetall(keys.tenants) == {}
    wrong = ask(api, "configured-secret", "POST", "/api/v1/jobs", json={**MATH, "tenant": "no spaces"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "/tenant")


def _jobs_of(tenants, **fields):
    return [{"type": "email", "payload": EMAIL, "tenant": tenant, **fields} for tenant in tenants]


def _pages(client, **filters):
    cursor, ids = None, []
    while True:
        page = client.jobs(limit=7, cursor=cursor, **filters)
        ids += [view.job_id for view in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            return ids


def _assert_shows(page, ids):
    """Assert that pages have shown each job once, newest first. Those of one millisecond may be in any order, since
    the ids of different calls are."""
    assert sorted(page) == sorted(ids)
    times = [created_ms(job_id) for job_id in page]
    assert times == sorted(times, reverse=True)


@pytest.fixture
def crowd(redis_url):
    """A client of a namespace of its own."""
    with Client(redis_url, namespace=f"crowd-{uuid4().hex[:8]}") as client:
        yield client


def test_the_jobs_of_each_of_many_tenants_are_found(crowd):
    crowd.enqueue_many(_jobs_of(f"t{number}" for number in range(500)))
    for tenant in ("t0", "t250", "t499"):
        assert [view.tenant for view in crowd.jobs(status="pending", tenant=tenant).jobs] == [tenant]


def test_pages_show_each_waiting_job_of_tenants_once_and_the_newest_first(crowd):
    rounds = [_jobs_of(f"t{number}" for number in range(30)) for _ in range(3)]
    # More of one than are read of each at first.
    ids = [
        job_id for jobs in (*rounds, _jobs_of(["busy"] * 90), _jobs_of(["t0"])) for job_id in crowd.enqueue_many(jobs)
    ]
    _assert_shows(_pages(crowd), ids)
    assert _pages(crowd, status="pending", job_type="email") == _pages(crowd)
    assert _pages(crowd, status="pending", tenant="busy") == sorted(ids[90:180], reverse=True)


def test_pages_show_each_waiting_job_of_tenants_in_many_queues_once(crowd):
    ids = []
    for queue in (f"q{number}" for number in range(15)):
        ids += crowd.enqueue_many(_jobs_of(["a", "b", "a", "c"], queue=queue))
    _assert_shows(_pages(crowd), ids)
    assert _pages(crowd, status="pending", job_type="email") == _pages(crowd)
    assert len(_pages(crowd, tenant="a")) == 30
    assert len(_pages(crowd, tenant="a", queue="q3")) == 2


def test_a_page_goes_on_behind_jobs_that_have_left_meanwhile(crowd):
    ids = crowd.enqueue_many(_jobs_of(f"t{number % 10}" for number in range(40)))[::-1]
    page = crowd.jobs(limit=7)
    for job_id in ids[3:7]:
        crowd.cancel(job_id)
    rest = crowd.jobs(limit=40, cursor=page.next_cursor, status="pending").jobs
    assert [view.job_id for view in rest] == ids[7:]


def test_the_waiting_jobs_of_very_many_tenants_are_counted(crowd):
    crowd.flow.set_tenant("slow", rate="1/h")
    # It is next, and no one's.
    crowd.enqueue("email", EMAIL)
    crowd.enqueue_many(_jobs_of(["slow", "slow", "slow", "busy", "busy", *(f"t{number}" for number in range(1200))]))
    crowd.enqueue("email", EMAIL)
    crowd.enqueue("email", EMAIL, tenant="busy", priority="high")
    views = crowd.flow.tenants()
    assert [(view.tenant, view.waiting) for view in views[:2]] == [("busy", 3), ("slow", 3)]
    assert len(views) == 1000
    assert {view.waiting for view in views[2:]} == {1}
    counted = waiting_by_tenant(crowd.server, [crowd.server.keys.for_queue("default")])
    assert (len(counted), counted.total()) == (1203, 1207)

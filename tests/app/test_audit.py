"""The audit trail: who did what, on what, how many, and how it ended; nothing of what did not happen."""

import json
import re
from uuid import uuid4

import pytest
from gopher.app import openapi, operations

from gopher.api_client.client import HttpClient
from gopher.client import Client
from gopher.interface.pages import audit_pages
from gopher.jobs.audit import WAYS
from gopher.jobs.job import new_job_id
from gopher.jobs.lists import RESULTS, AuditFilter
from tests.app.calls import APP
from tests.app.conftest import EMAIL, running_api
from tests.app.test_access import ADMIN, KEYS, READ, SUBMIT, bearer
from tests.changes import PARTS, SENT, Seeds

#: Jobs and batches say themselves who has submitted them.
SUBMISSIONS = {
    "/api/v1/jobs",
    "/api/v1/jobs/batch",
    "/api/v1/files",
    "/api/v1/batches",
    "/api/v1/batches/<batch_id>/seal",
}
CLEANUP = {"type": "cleanup", "payload": {}, "delay": "1h"}


def changing():
    """Yield each route that changes something, with the name of its operation; taken from the application itself."""
    for rule in APP.url_map.iter_rules():
        declared = operations.operation_of(APP, rule.endpoint)
        for method in openapi.methods_of(rule):
            if method != "GET" and not (declared and declared.is_page) and rule.rule not in SUBMISSIONS:
                yield method, rule.rule, declared.action if declared and declared.audited else ""


CHANGING = sorted(changing())


@pytest.fixture(scope="module")
def namespace():
    return f"audit-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture(scope="module")
def api(folder, redis_url, namespace):
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": KEYS, "LOG_FORMAT": "json", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, **variables) as api:
        yield api


@pytest.fixture
def request_id():
    return f"test-{uuid4().hex}"


@pytest.fixture
def call(api, client, request_id):
    """Send a request with a key; return its answer and the entries that it has left."""

    def _call(method, path, secret=ADMIN, **sent):
        headers = {**bearer(secret), "X-Request-ID": request_id, **sent.pop("headers", {})}
        answer = api.request(method, path, headers=headers, **sent)
        return answer, [each for each in client.audit(limit=500).entries if each.request_id == request_id]

    return _call


def filled(route, parts):
    return re.sub(r"<(\w+)>", lambda found: parts[found[1]], route)


@pytest.mark.parametrize(("method", "route", "action"), CHANGING)
def test_every_change_is_one_entry(api, client, call, request_id, method, route, action):
    assert action, "declare that it is audited"
    assert f"{method} {route}" in PARTS, "say in tests/changes.py what it changes"
    parts = PARTS[f"{method} {route}"](Seeds(client))
    answer, (entry,) = call(method, filled(route, parts), **SENT.get(f"{method} {route}", {}))
    assert answer.is_success, answer.text
    assert (entry.action, entry.result, entry.corrupt) == (action, "done", [])
    assert (entry.who, entry.through, entry.address) == ("ops", "api", "127.0.0.1")
    names = {"job_type": "type", "retry_id": "redrive_id"}
    named = {names.get(name, name): value for name, value in parts.items() if name}
    assert named.items() <= entry.on.items()
    (line,) = [each for each in log_of(api) if each.get("request_id") == request_id and each["event"] == "audit"]
    assert (line["action"], line["who"], line["result"], line["level"]) == (action, "ops", "done", "warning")


@pytest.mark.parametrize(("method", "route", "action"), CHANGING)
def test_a_change_that_is_denied_is_one_entry_and_one_of_nothing_is_none(call, method, route, action):
    parts = dict.fromkeys(re.findall(r"<(\w+)>", route), f"of-{method.lower()}")
    answer, (entry,) = call(method, filled(route, parts), READ, headers={})
    assert answer.status_code == 403
    assert (entry.action, entry.result, entry.who) == (action, "denied", "board")
    assert set(entry.on.values()) <= {f"of-{method.lower()}"}


@pytest.mark.parametrize(("method", "route", "action"), CHANGING)
def test_what_has_changed_nothing_leaves_no_entry(call, method, route, action):
    parts = {name: new_job_id() if name == "job_id" else f"no-{action[5:]}" for name in re.findall(r"<(\w+)>", route)}
    sent = {"params": {"state": "failed"}} if "/queues/" in route and method == "DELETE" else {}
    if route in ("/api/v1/dlq", "/api/v1/dlq/retry-all"):
        sent = {"params": {"queue": "none"}} if method == "DELETE" else {"json": {"queue": "none"}}
    if action in ("fleet.quiet_all", "fleet.stop_all"):
        sent = {"params": {"queue": "none"}}
    if action == "webhooks.rotate_secret":
        sent = {"json": {"overlap": "for ever"}}
    if action in ("flow.pause_queue", "flow.pause_type"):
        # The first one has changed something.
        call(method, filled(route, parts), headers={"X-Request-ID": "another"})
    assert call(method, filled(route, parts), **sent)[1] == []


def test_nothing_that_strangers_send_is_an_entry_but_a_key_that_is_unknown(api, call):
    path = "/api/v1/queues/mail?state=pending"
    assert api.delete(path).status_code == 401
    answer, (entry,) = call("DELETE", path, "wrong")
    assert answer.status_code == 401
    assert (entry.action, entry.result, entry.through) == ("authenticate", "refused", "api")
    assert (entry.who, entry.address) == ("", "127.0.0.1")
    assert entry.on == {"method": "DELETE", "path": "/api/v1/queues/<queue>"}


def test_an_entry_says_to_what_and_to_how_many(client, call, request_id):
    seeds = Seeds(client)
    for _ in range(3):
        seeds.pending()
    _, (entry,) = call("DELETE", f"/api/v1/queues/{seeds.queue}?state=pending")
    assert (entry.count, entry.on) == (3, {"queue": seeds.queue, "state": "pending"})


def test_an_entry_has_the_fields_that_were_sent_and_no_payload(api, call):
    body = {"cron_expression": "@daily", "type": "email", "payload": {**EMAIL, "body": "private"}, "missed": "skip"}
    _, (entry,) = call("PUT", "/api/v1/schedules/audited", json=body)
    assert entry.on == {"name": "audited", "cron_expression": "@daily", "type": "email", "missed": "skip"}
    assert entry.details == "created"
    assert "private" not in api.log.read_text()
    # The same again changes nothing.
    assert len(call("PUT", "/api/v1/schedules/audited", json=body)[1]) == 1


def test_a_gradual_redrive_is_an_entry_with_its_id(client, call):
    seeds = Seeds(client)
    seeds.dead()
    answer, (entry,) = call("POST", "/api/v1/dlq/retry-all", json={"queue": seeds.queue, "rate": "1/h"})
    assert (entry.action, entry.count) == ("dead_letters.retry_gradually", 1)
    assert (entry.details, entry.on) == (answer.json()["redrive_id"], {"queue": seeds.queue, "rate": "1/h"})


def test_looking_submitting_and_dry_runs_are_no_entries(call):
    job = {"type": "email", "payload": EMAIL}
    assert call("GET", "/api/v1/jobs")[1] == []
    assert call("POST", "/api/v1/jobs", json=job)[1] == []
    recurring = {**job, "recurring": {"cron_expression": "@daily"}}
    assert call("POST", "/api/v1/jobs?dry_run=1", json=recurring)[1] == []
    assert call("POST", "/api/v1/jobs?dry_run=1", json=CLEANUP)[1] == []
    assert call("POST", "/api/v1/jobs", json={**CLEANUP, "payload": {"unknown": 1}})[1] == []


def test_a_schedule_by_submission_is_an_entry(call):
    body = {"type": "email", "payload": EMAIL, "recurring": {"cron_expression": "0 3 * * *", "name": "by-submission"}}
    answer, (entry,) = call("POST", "/api/v1/jobs", json=body)
    assert answer.status_code == 201
    assert (entry.action, entry.on["name"], entry.on["type"]) == ("schedules.put", "by-submission", "email")


def test_a_submission_of_a_type_that_needs_admin_is_an_entry_unless_it_is_a_repeat(call):
    headers = {"Idempotency-Key": uuid4().hex}
    answer, (entry,) = call("POST", "/api/v1/jobs", json=CLEANUP, headers=headers)
    assert (entry.action, entry.on, entry.count) == ("jobs.submit", {"type": "cleanup"}, 1)
    assert entry.details == answer.json()["job_id"]
    assert len(call("POST", "/api/v1/jobs", json=CLEANUP, headers=headers)[1]) == 1


def test_many_denied_jobs_of_one_request_are_one_entry(call):
    answer, (entry,) = call("POST", "/api/v1/jobs/batch", SUBMIT, json={"jobs": [CLEANUP] * 50})
    assert answer.status_code == 403
    assert (entry.action, entry.result, entry.who) == ("jobs.submit", "denied", "shop")


# Reading


def test_the_trail_is_read_page_by_page_newest_first(api, client, call):
    for _ in range(3):
        call("PUT", "/api/v1/limits/email", json={"rate": "10/s"})
    call("PUT", "/api/v1/limits/email", "wrong", json={"rate": "10/s"})
    everything = [each.id for each in client.audit(limit=500).entries]
    by_page = [each.id for page in audit_pages(client, AuditFilter(limit=2)) for each in page.entries]
    assert by_page == everything
    assert [int(each.partition("-")[0]) for each in everything] == sorted(
        (int(each.partition("-")[0]) for each in everything), reverse=True
    )
    page = api.get("/api/v1/audit?limit=2", headers=bearer(ADMIN)).json()
    assert [each["id"] for each in page["entries"]] == everything[:2]
    older = api.get(f"/api/v1/audit?limit=2&cursor={page['next_cursor']}", headers=bearer(ADMIN)).json()
    assert [each["id"] for each in older["entries"]] == everything[2:4]


def test_the_trail_is_exported_as_json_lines(api, client, call):
    call("PUT", "/api/v1/limits/email", json={"rate": "10/s"})
    answer = api.get("/api/v1/audit?result=done&limit=1", headers={**bearer(ADMIN), "Accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) == len(client.audit(limit=500, result="done").entries) > 1
    assert {line["result"] for line in lines} == {"done"}


def test_the_trail_is_read_by_admins_only(api):
    assert [api.get("/api/v1/audit", headers=bearer(secret)).status_code for secret in (SUBMIT, READ, ADMIN)] == [
        403,
        403,
        200,
    ]


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1-1", "result=perhaps", "limit=0", "unknown=1"])
def test_an_invalid_filter_is_refused_with_its_field(api, query):
    answer = api.get(f"/api/v1/audit?{query}", headers=bearer(ADMIN))
    assert (answer.status_code, answer.json()["field"]) == (400, f"/{query.partition('=')[0]}")


def test_both_clients_read_the_same(api, client, call):
    call("PUT", "/api/v1/limits/email", json={"rate": "10/s"})
    with HttpClient(str(api.base_url), ADMIN) as over_http:
        assert over_http.audit(limit=3, who="ops") == client.audit(limit=3, who="ops")


def test_an_entry_that_can_not_be_read_is_a_row_that_says_so(api, client):
    keys, redis = client.server.keys, client.server.client
    for fields in ({"event": b"\xff"}, {"other": "x"}, {"event": '{"who":1}'}):
        redis.xadd(keys.audit, fields)
    answer = api.get("/api/v1/audit?limit=3", headers=bearer(ADMIN))
    assert [each["corrupt"] for each in answer.json()["entries"]] == [["event"]] * 3


# Bounds


def test_the_trail_is_bounded_and_strangers_can_not_push_out_what_operators_have_done(folder, redis_url):
    variables = {"GOPHER_NAMESPACE": f"audit-{uuid4().hex[:8]}", "GOPHER_API_KEYS": KEYS, "WEB_CONCURRENCY": "1"}
    with (
        running_api(folder, redis_url, GOPHER_AUDIT_MAX="5", **variables) as api,
        Client(redis_url, namespace=variables["GOPHER_NAMESPACE"]) as client,
    ):
        for _ in range(7):
            api.put("/api/v1/limits/email", json={"rate": "1/s"}, headers=bearer(ADMIN))
            # By keys that may do less, and by nobody.
            api.delete("/api/v1/dlq", headers=bearer(SUBMIT))
            api.delete("/api/v1/dlq", headers=bearer("wrong"))
        entries = client.audit(limit=500).entries
        assert [each.action for each in entries if each.who == "ops"] == ["flow.set_limit"] * 5
        assert len(entries) == 10


def test_a_guesser_has_some_entries_a_minute_and_the_rest_are_counted(api, client):
    def refused():
        return client.audit(limit=500, result="refused").entries

    before = len(refused())
    for _ in range(40):
        api.get("/api/v1/jobs", headers=bearer("wrong"))
    # A new minute may begin meanwhile.
    assert len(refused()) - before <= 20


def test_texts_of_an_entry_are_truncated(call):
    _, (entry,) = call("DELETE", f"/api/v1/limits/{'x' * 1000}", READ)
    assert entry.on == {"type": "x" * 200}
    assert (entry.through in WAYS, entry.result in RESULTS) == (True, True)


def log_of(api):
    return [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]


def test_without_keys_the_caller_is_anonymous(folder, redis_url):
    namespace = f"audit-{uuid4().hex[:8]}"
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, WEB_CONCURRENCY="1") as api:
        answer = api.put("/api/v1/limits/email", json={"rate": "1/s"})
        assert answer.status_code == 200
        (entry,) = api.get("/api/v1/audit").json()["entries"]
        assert (entry["who"], entry["through"]) == ("anonymous", "api")

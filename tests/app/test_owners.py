"""Whose a job is: what a key that may only submit does with its own jobs, and learns of others' (nothing)."""

import json
import re
import threading
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import pytest

from gopher.api_client.client import HttpClient
from gopher.client import Client
from gopher.errors import AccessRefused, JobConflict
from gopher.jobs.job import new_job_id
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.submission import InvalidBatch, parse
from tests.app.conftest import running_api
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

#: shop has two secrets, as while its key is rotated.
KEYS = "shop:shop-1:submit,shop:shop-2:submit,blog:blog-1:submit,board:board-1:read,ops:ops-1:admin"
SECRET = {"to": "victim@example.com", "subject": "secret", "body": "PIN 1234"}
CLEANUP = {"type": "cleanup", "payload": {"dead_older_than": 0, "files_older_than": 0}}
REPORT = {"type": "report", "payload": {"report_type": "queue_health"}}
MATH = {"type": "math", "payload": {"operation": "prime", "number": 7}}


@pytest.fixture(scope="module")
def namespace():
    return f"owners-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, namespace):
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": KEYS, "LOG_FORMAT": "json", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, **variables) as api:
        yield api


@pytest.fixture(scope="module")
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def email(queue, **more):
    return {"type": "email", "payload": SECRET, "metadata": {"iban": "DE00"}, "queue": queue, **more}


@contextmanager
def completing(client, queue):
    """Complete whatever comes into a queue meanwhile."""
    client.server.register_queues(queue)
    worker, over = SeedingWorker(client, queue), threading.Event()

    def work():
        while not over.wait(0.02):
            client.server.run(worker.queue.promote())
            worker.complete(worker.fetch())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


#: The forms of a submission: how each sends jobs, and the rows of its answer.
def single(api, job, secret, **query):
    return api.post("/api/v1/jobs", params=query, json=job, headers=bearer(secret))


def batch(api, job, secret, **query):
    return api.post("/api/v1/jobs/batch", params=query, json={"jobs": [job]}, headers=bearer(secret))


def lines(api, job, secret, **query):
    headers = {**bearer(secret), "Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    return api.post("/api/v1/jobs/batch", params=query, content=json.dumps(job), headers=headers)


def row(answer):
    """Return what a form answers for the one job that was sent."""
    told = json.loads(answer.text)
    return told["jobs"][0] if "jobs" in told else told


FORMS = [single, batch, lines]
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.mark.parametrize("secret", ["shop-1", "shop-2", "board-1", "ops-1"])
@every_form
def test_a_job_belongs_to_the_name_of_the_key_it_was_submitted_with(api, queue, form, secret):
    job_id = row(form(api, email(queue), secret))["job_id"]
    shown = api.get(f"/api/v1/jobs/{job_id}", headers=bearer("board-1")).json()
    assert shown["owner"] == secret.partition("-")[0]
    assert (shown["payload"], shown["metadata"]) == (SECRET, {"iban": "DE00"})


def test_what_is_submitted_at_the_server_itself_is_trusted(api, client, queue):
    job_id = client.enqueue("email", SECRET, queue=queue)
    assert client.job(job_id).owner == ""
    assert api.get(f"/api/v1/jobs/{job_id}", headers=bearer("board-1")).json()["owner"] == ""


def test_a_job_of_an_owner_is_stored_as_plainly_as_any(api, client, queue):
    job_id = row(single(api, {**MATH, "queue": queue}, "shop-1"))["job_id"]
    record = client.server.client.hgetall(client.server.keys.for_queue(queue).job(job_id))
    assert set(record) == {b"type", b"priority", b"state", b"since", b"envelope", b"plain"}


@every_form
def test_no_key_gets_another_owners_job_by_its_unique_key(api, client, queue, form):
    theirs = row(single(api, email(queue, unique_key="customer:42", delay="1h"), "blog-1"))
    assert client.job(theirs["job_id"]).owner == "blog"
    trusted = client.enqueue("email", SECRET, queue=queue, unique_key="customer:42", delay="1h")
    ours = {**MATH, "queue": queue, "unique_key": "customer:42"}
    for job in (ours, {**email(queue, unique_key="customer:42"), "payload": {**SECRET, "body": "ours"}}):
        answer = form(api, job, "shop-1", **({"wait": 0.05} if form is single else {}))
        told = row(answer)
        assert told["job_id"] not in (theirs["job_id"], trusted)
        assert told["type"] == job["type"]
        assert "duplicate" not in told
        assert "PIN 1234" not in answer.text


@every_form
def test_a_duplicate_is_described_by_the_existing_job(api, client, queue, form):
    first = row(single(api, email(queue, unique_key="k", priority="high", delay="1h"), "shop-1"))
    told = row(form(api, email(queue, unique_key="k", priority="low"), "shop-2"))
    expected = {
        "job_id": first["job_id"],
        "status": "scheduled",
        "priority": "high",
        "type": "email",
        "duplicate": True,
    }
    assert told.items() >= expected.items()
    client.cancel(first["job_id"])
    second = row(single(api, email(queue, unique_key="k", delay="1h"), "shop-1"))
    client.server.client.hset(client.server.keys.for_queue(queue).job(second["job_id"]), "state", "processing")
    assert row(form(api, email(queue, unique_key="k"), "shop-1"))["status"] == "processing"


def test_who_may_only_submit_waits_for_its_own_job_by_its_unique_key(api, client, queue):
    with completing(client, queue):
        # Long enough for the second submission to come before the end of the first job, also on a busy machine.
        first = single(api, email(queue, unique_key="k", delay="2s"), "shop-1").json()
        shown = single(api, email(queue, unique_key="k"), "shop-1", wait=25)
    assert (shown.status_code, shown.json()["job_id"], shown.json()["owner"]) == (200, first["job_id"], "shop")


def test_a_job_of_an_older_version_is_not_shown_to_an_owner_nor_in_its_way(api, client, queue):
    before = client.enqueue("email", SECRET, queue=queue, unique_key="k", delay="1h")
    answer = single(api, {**email(queue, unique_key="k"), "payload": {**SECRET, "body": "ours"}}, "shop-1", wait=0.05)
    assert answer.json()["job_id"] != before
    assert "PIN 1234" not in answer.text
    assert client.submit(parse(json.dumps(email(queue, unique_key="k")).encode())).job_id == before


@every_form
def test_an_idempotency_key_is_its_owners_through_a_rotation(api, queue, form):
    key = {"Idempotency-Key": queue}

    def send(secret):
        with_key = api.headers.copy()
        api.headers.update(key)
        try:
            return row(form(api, email(queue), secret))["job_id"]
        finally:
            api.headers = with_key

    first, again, theirs = send("shop-1"), send("shop-2"), send("blog-1")
    assert first == again != theirs


def test_a_repeat_of_what_was_a_duplicate_is_answered_as_the_first_time(api, client, queue):
    first = single(api, email(queue, unique_key="k", delay="1h"), "shop-1").json()
    headers = {**bearer("shop-1"), "Idempotency-Key": queue}
    told = [api.post("/api/v1/jobs", json=email(queue, unique_key="k"), headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in told] == [200, 200]
    assert told[0].json() == told[1].json()
    assert (told[0].json()["job_id"], told[0].json()["duplicate"]) == (first["job_id"], True)
    assert told[1].headers["Idempotent-Replayed"] == "true"


# Jobs that wait for others


@pytest.mark.parametrize("form", [single, batch])
@pytest.mark.parametrize("end", ["waiting", "failed", "completed"])
@pytest.mark.parametrize("whose", ["blog-1", "trusted"])
def test_another_owners_job_can_not_be_told_from_one_that_does_not_exist(api, client, queue, form, end, whose):
    if whose == "trusted":
        parent = client.enqueue("email", SECRET, queue=queue)
    else:
        parent = row(single(api, email(queue), whose))["job_id"]
    worker = SeedingWorker(client, queue)
    if end != "waiting":
        (given,) = worker.fetch()
        assert given.id == parent
        worker.dead_letter(given) if end == "failed" else worker.complete([given])
    missing = new_job_id()
    answers = [form(api, email(queue, after=[each]), "shop-1") for each in (parent, missing)]
    told = [answer.text.replace(answer.json()["request_id"], "") for answer in answers]
    assert answers[0].status_code == 400
    assert told[0] == told[1].replace(missing, parent)
    assert "to wait for" in told[0]


@pytest.mark.parametrize("form", [single, batch])
def test_an_owner_waits_for_its_own_jobs_and_a_reader_for_any(api, queue, form):
    parent = row(single(api, email(queue), "shop-1"))["job_id"]
    for secret in ("shop-2", "board-1", "ops-1"):
        assert row(form(api, email(queue, after=[parent]), secret))["status"] == "scheduled"


def test_a_repeat_is_answered_though_the_parents_record_has_run_out(api, client, queue):
    parent = row(single(api, email(queue), "shop-1"))["job_id"]
    headers = {**bearer("shop-1"), "Idempotency-Key": queue}
    first = api.post("/api/v1/jobs", json=email(queue, after=[parent]), headers=headers)
    client.server.client.delete(client.server.keys.for_queue(queue).job(parent))
    again = api.post("/api/v1/jobs", json=email(queue, after=[parent]), headers=headers)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())


def test_a_known_idempotency_key_does_not_let_another_request_wait_for_any_job(api, client, queue):
    theirs, other = client.enqueue("email", SECRET, queue=queue), f"{queue}-b"
    headers = {**bearer("shop-1"), "Idempotency-Key": queue}
    api.post("/api/v1/jobs/batch", json={"jobs": [email(other)]}, headers=headers)
    for parent in (theirs, new_job_id()):
        jobs = [email(queue, after=[parent]), email(other)]
        answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert client.stats().queues[queue].total_enqueued == 1


def test_a_batch_waits_for_its_own_earlier_jobs_in_any_queue(api, client, queue):
    jobs = [email(queue), email(queue, after=[0]), email(f"{queue}-b")]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=bearer("shop-1"))
    assert [each["status"] for each in answer.json()["jobs"]] == ["pending", "scheduled", "pending"]
    theirs = client.enqueue("email", SECRET, queue=queue)
    jobs[1]["after"] = [0, theirs]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=bearer("shop-1"))
    assert (answer.status_code, [each["index"] for each in answer.json()["errors"]]) == (400, [1])


# Jobs of one's own


def test_who_may_only_submit_reads_waits_for_and_cancels_its_own_jobs(api, client, queue):
    with HttpClient(str(api.base_url), "shop-1") as shop:
        done = shop.enqueue("email", SECRET, queue=queue)
        with completing(client, queue):
            assert shop.wait(done, 60).status == "completed"
        assert (shop.job(done).owner, msgspec.json.decode(shop.job(done).payload)) == ("shop", SECRET)
        assert (shop.logs(done), shop.why(done)[0].code) == ([], "ended")
        with pytest.raises(JobConflict):
            shop.cancel(done)
        assert shop.cancel(shop.enqueue("email", SECRET, queue=queue, delay="1h")) == "cancelled"


def test_both_forms_of_cancel_are_the_owners_and_audited(api, queue):
    for method, path in (("DELETE", ""), ("POST", "/cancel")):
        job_id = row(single(api, email(queue, delay="1h"), "shop-1"))["job_id"]
        headers = {**bearer("shop-2"), "X-Request-ID": f"own-{method}-{queue}"}
        assert api.request(method, f"/api/v1/jobs/{job_id}{path}", headers=headers).json()["status"] == "cancelled"
        (line,) = audited(api, f"own-{method}-{queue}")
        assert (line["who"], line["action"], line["on"]) == ("shop", "jobs.cancel", {"job_id": job_id})
        assert line["result"] == "done"


def test_a_stronger_key_may_do_with_its_own_jobs_what_a_weaker_one_may(api, client, queue):
    own = row(single(api, email(queue, delay="1h"), "board-1"))["job_id"]
    theirs = row(single(api, email(queue, delay="1h"), "shop-1"))["job_id"]
    answers = [api.delete(f"/api/v1/jobs/{job_id}", headers=bearer("board-1")) for job_id in (own, theirs)]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert client.job(theirs).status == "scheduled"


def test_what_an_owner_is_told_of_why_its_job_waits_is_nothing_of_others(api, client, queue):
    client.flow.set_limit("email", None, None, 1)
    try:
        running, ahead = (client.enqueue("email", SECRET, queue=queue) for _ in range(2))
        (given,) = SeedingWorker(client, queue).fetch()
        assert given.id == running
        parent = row(single(api, email(queue), "shop-1"))["job_id"]
        child = row(single(api, email(queue, after=[parent]), "shop-1"))["job_id"]
        told = {
            secret: [api.get(f"/api/v1/jobs/{each}/why", headers=bearer(secret)).text for each in (parent, child)]
            for secret in ("shop-1", "board-1")
        }
    finally:
        client.flow.clear_limit("email")
    assert running in told["board-1"][0]
    assert "ahead of it" in told["board-1"][0]
    assert parent in told["board-1"][1]
    for text in told["shop-1"]:
        assert not re.search(f"{running}|{ahead}|of: |jobs of", text.replace(parent, "").replace(child, ""))
    codes = [[reason["code"] for reason in json.loads(text)["reasons"]] for text in told["shop-1"]]
    assert codes == [[reason["code"] for reason in json.loads(text)["reasons"]] for text in told["board-1"]]


def test_a_job_that_jobs_of_others_wait_for_does_not_reveal_them(api, client, queue):
    parent = row(single(api, email(queue), "shop-1"))["job_id"]
    child = client.enqueue("email", SECRET, queue=queue, after=[parent])
    paths = [("GET", ""), ("GET", "/logs"), ("GET", "/why"), ("DELETE", ""), ("GET", "")]
    answers = [api.request(how, f"/api/v1/jobs/{parent}{path}", headers=bearer("shop-1")) for how, path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    assert not [answer.text for answer in answers if child in answer.text]
    # As with every parent that does not complete.
    assert client.job(child).status == "failed"


def test_another_owners_job_costs_the_server_the_same_commands_as_a_missing_one(api, client, queue):
    theirs, missing = client.enqueue("email", SECRET, queue=queue), new_job_id(queue)

    def commands(job_id, path):
        client.server.client.config_resetstat()
        if path is None:
            assert single(api, email(queue, after=[job_id]), "shop-1").status_code == 400
        else:
            assert api.get(f"/api/v1/jobs/{job_id}{path}", headers=bearer("shop-1")).status_code == 404
        counted = client.server.client.info("commandstats")
        return {name: each["calls"] for name, each in counted.items() if name not in ("cmdstat_info", "cmdstat_hello")}

    def fewest(job_id, path):
        # A process that has not seen the queue for a while asks about it once more.
        return min((commands(job_id, path) for _ in range(5)), key=lambda each: sum(each.values()))

    for path in ("", "?wait=1", "/logs", "/why", "/files", "/files/a.jpg", None):
        assert fewest(theirs, path) == fewest(missing, path)


def test_requests_that_are_rejected_before_their_view_are_counted(api):
    def counted():
        told = api.get("/metrics", headers=bearer("ops-1")).text
        row = r'gopher_api_requests_total\{method="GET",path="/api/v1/jobs/<job_id>/why",status="404"\} (.*)'
        return sum(map(float, re.findall(row, told)))

    before = counted()
    assert api.get(f"/api/v1/jobs/{new_job_id()}/why", headers=bearer("shop-1")).status_code == 404
    assert counted() == before + 1


def test_jobs_of_a_type_that_needs_a_role_are_shown_and_cancelled_with_that_role(api, client, queue):
    # Such as a handler submits on behalf of its owner.
    job = prepare_fields({"type": "cleanup", "payload": {}, "queue": queue, "delay": "1h"})
    (stored,) = client.store([job], submitter=Submitter("shop", sees_all=False))
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/api/v1/jobs/{stored.job_id}", headers=bearer("shop-1"))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "jobs of type 'cleanup' require admin" in answer.json()["details"]
    assert client.job(stored.job_id).status == "scheduled"


def test_a_job_whose_record_is_corrupt_is_nobodys(api, client, queue):
    job_id = row(single(api, email(queue), "shop-1"))["job_id"]
    client.server.client.hset(client.server.keys.for_queue(queue).job(job_id), "envelope", "{")
    assert api.get(f"/api/v1/jobs/{job_id}", headers=bearer("shop-1")).status_code == 404
    assert api.get(f"/api/v1/jobs/{job_id}", headers=bearer("board-1")).json()["owner"] == ""


# Types that need a role


def refused(answer, form):
    assert answer.status_code == 403
    told = answer.json()
    assert told["code"] == "forbidden"
    return told if form is single else told["errors"][0]


@every_form
@pytest.mark.parametrize("dry_run", [0, 1])
@pytest.mark.parametrize(
    ("job", "needed", "secret"),
    [(CLEANUP, "admin", "shop-1"), (CLEANUP, "admin", "board-1"), (REPORT, "read", "shop-1")],
)
def test_a_type_that_needs_a_role_is_refused_to_keys_without_it(api, client, queue, form, job, needed, secret, dry_run):
    told = refused(form(api, {**job, "queue": queue}, secret, dry_run=dry_run), form)
    assert told["code"] == "forbidden"
    assert told["field"].endswith("/type")
    assert f"type {job['type']!r} requires a key with the role {needed}" in told["details"]
    assert not client.server.client.exists(client.server.keys.for_queue(queue).totals)


@every_form
@pytest.mark.parametrize(
    ("job", "secret"), [(CLEANUP, "ops-1"), (REPORT, "board-1"), (REPORT, "ops-1"), (MATH, "shop-1")]
)
def test_a_type_is_taken_from_keys_with_its_role(api, queue, form, job, secret):
    assert form(api, {**job, "queue": queue}, secret).status_code == 201
    assert form(api, {**job, "queue": queue}, secret, dry_run=1).status_code == 200


def test_the_rows_of_a_batch_that_need_a_role_are_named_and_nothing_is_stored(api, client, queue):
    jobs = [{**each, "queue": queue} for each in (MATH, CLEANUP, {**MATH, "type": "nothing"}, REPORT)]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=bearer("shop-1"))
    told = [(each["index"], each["code"]) for each in answer.json()["errors"]]
    assert (answer.status_code, told) == (403, [(1, "forbidden"), (2, "unknown_type"), (3, "forbidden")])
    assert not client.server.client.exists(client.server.keys.for_queue(queue).totals)


def test_the_lines_that_need_a_role_are_rejected_and_the_others_are_taken(api, client, queue):
    body = "\n".join(json.dumps({**each, "queue": queue}) for each in (MATH, CLEANUP, MATH))
    headers = {**bearer("shop-1"), "Content-Type": "application/x-ndjson"}
    answer = api.post("/api/v1/jobs/batch", content=body, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (200, 2, 1)
    assert [(each["line"], each["code"]) for each in told["errors"]] == [(2, "forbidden")]
    assert client.stats().queues[queue].waiting == 2


def test_a_schedule_of_such_a_type_is_refused_as_schedules_are(api):
    for secret in ("shop-1", "board-1"):
        recurring = {**CLEANUP, "recurring": {"cron_expression": "@daily"}}
        assert single(api, recurring, secret).status_code == 403
        answer = api.put("/api/v1/schedules/x", json={**CLEANUP, "cron_expression": "@daily"}, headers=bearer(secret))
        assert answer.status_code == 403


def test_jobs_of_a_schedule_are_trusted_whatever_key_created_it(api, client, queue):
    spec = {**CLEANUP, "queue": queue, "cron_expression": "@yearly"}
    assert api.put(f"/api/v1/schedules/{queue}", json=spec, headers=bearer("ops-1")).status_code == 201
    made = api.post(f"/api/v1/schedules/{queue}/run", headers=bearer("ops-1")).json()
    assert client.job(made["job_id"]).owner == ""


def audited(api, request_id):
    def found():
        # The last line may be half written.
        written = api.log.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in written if line.startswith("{")]
        return [line for line in lines if line["event"] == "audit" and line["request_id"] == request_id]

    wait_until(found, 20, "the audit line")
    return found()


@every_form
@pytest.mark.parametrize(("secret", "status"), [("ops-1", 201), ("shop-1", 403)])
def test_a_submission_that_needs_admin_is_audited_as_a_call_that_does(api, queue, form, secret, status):
    request_id = f"audit-{queue}"
    api.headers["X-Request-ID"] = request_id
    try:
        form(api, {**CLEANUP, "queue": queue}, secret)
    finally:
        del api.headers["X-Request-ID"]
    (line,) = audited(api, request_id)
    assert (line["who"], line["action"], line["on"]) == (secret.partition("-")[0], "jobs.submit", {"type": "cleanup"})
    assert line["result"] == {201: "done", 403: "denied"}[status]


def test_the_list_of_types_shows_which_role_each_needs(api):
    listed = api.get("/api/v1/jobs/types", headers=bearer("board-1")).json()["types"]
    assert {each["name"]: each["needs"] for each in listed} == {
        "cleanup": "admin", "email": "submit", "image_resize": "submit", "math": "submit", "report": "read",
    }  # fmt: skip


def test_a_client_over_http_is_told_which_role_is_missing(api):
    with HttpClient(str(api.base_url), "shop-1") as client:
        with pytest.raises(AccessRefused, match="requires a key with the role admin"):
            client.enqueue("cleanup", {})
        with pytest.raises(InvalidBatch, match="requires a key with the role admin") as caught:
            client.submit_batch([msgspec.json.encode(MATH), msgspec.json.encode(CLEANUP)])
    assert [index for index, _ in caught.value.errors] == [1]

"""What is accepted can be shown: extreme values of each field of each form are refused as 400, or everything that shows
them does.

GOPHER_TEST_ACCEPTED is how many values are made up for each form (`make fuzz`: 500).
"""

import json
import os
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from click.testing import CliRunner
from gopher.cli.main import cli
from gopher.cli.options import names_of
from gopher.worker.children.results import BadResult, encode_result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gopher.base.states import State
from gopher.errors import NotReplicated
from gopher.jobs import filters, lists
from gopher.jobs.loading import load_handlers
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import Recurring, Submission
from tests.app import extremes
from tests.app.installation import Installation, listed, look_at, walk

VALUES = int(os.environ.get("GOPHER_TEST_ACCEPTED", "40"))
#: The same ones each time, but for more of them.
MADE_UP = settings(
    max_examples=VALUES, deadline=None, derandomize=VALUES <= 100, suppress_health_check=list(HealthCheck)
)
PAYLOAD = {"operation": "prime", "number": 7}
JOB = {"type": "math", "payload": PAYLOAD}


@pytest.fixture
def installation(redis_url, namespace):
    made = Installation(redis_url, namespace)
    yield made
    made.client.close()


def fields_of(kind: type[msgspec.Struct]) -> some.SearchStrategy[dict[str, Any]]:
    """Make one or two fields of a form. A schedule is another form; uploads and workers would have to exist."""
    left_out = ("recurring", "files", "require_worker", "job_id")
    each = {
        field.encode_name: field.type for field in msgspec.structs.fields(kind) if field.encode_name not in left_out
    }
    names = some.lists(some.sampled_from(sorted(each)), min_size=1, max_size=2, unique=True)
    return names.flatmap(lambda chosen: some.fixed_dictionaries({name: extremes.values(each[name]) for name in chosen}))


def send(installation: Installation, method: str, path: str, body: Any) -> Any:
    """Send a form; return the answer to it, None if it was refused, with the field at fault."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    answer = installation.api.open(path, method=method, data=text, content_type="application/json")
    assert answer.status_code in (200, 201, 202, 400, 413) or _is_stored(answer), (path, text[:500], answer.text)
    if answer.status_code >= 400 and not _is_stored(answer):
        assert answer.json["details"], answer.json
        return None
    return json.loads(answer.text, parse_constant=pytest.fail)


def _is_stored(answer: Any) -> bool:
    """Return whether jobs are stored, but not confirmed: the server has no replicas."""
    return bool(answer.status_code == 503 and answer.json["code"] == "not_replicated")


def go_through_all_states(installation: Installation) -> None:
    """Fetch what waits; a third each of it completes, fails and will be retried; look at it after each step."""
    jobs = installation.worker.fetch(100)
    for number, job in enumerate(jobs):
        if number % 3 == 0:
            installation.worker.complete([job], log=b'[[1790000000000,"a line"]]')
        elif number % 3 == 1:
            installation.worker.dead_letter(job)
        else:
            installation.worker.retry(job)
    for job in jobs:
        if installation.client.inspector.find(job.id):
            look_at(installation, job.id)


def look_everywhere(installation: Installation) -> None:
    listed(installation)
    walk(installation)
    for command in ("jobs", "list-failed", "schedules", "limits", "stats", "redrives", "health"):
        installation.run(command)
        installation.run(command, "--json")
    installation.run("list-failed", "--groups")


@MADE_UP
@given(fields=fields_of(Submission))
def submit(installation: Installation, fields: dict[str, Any]) -> None:
    body = {**JOB, **fields}
    accepted = send(installation, "POST", "/api/v1/jobs", body)
    dry_run = send(installation, "POST", "/api/v1/jobs?dry_run=1", body)
    # Whether the jobs exist that it waits for is looked up when it is stored.
    assert (dry_run is None) == (accepted is None) or "after" in fields, body
    if accepted is not None:
        view = look_at(installation, accepted["job_id"])
        assert "corrupt" not in view, view
        assert accepted["job_id"] in installation.run("job", accepted["job_id"])
        for name in ("payload", "metadata"):
            if fields.get(name) is not None:
                assert view[name] == fields[name]


def test_a_job_that_is_accepted_can_be_shown_in_every_state(installation):
    submit(installation)
    look_everywhere(installation)
    while installation.client.stats().queues["default"].waiting:
        go_through_all_states(installation)
    look_everywhere(installation)
    # Those that were due later, or wait.
    assert installation.client.jobs(status=State.SCHEDULED).jobs


@pytest.mark.parametrize("field", ["unique_for", "retention", "expires_in", "retry_for", "timeout", "delay"])
def test_a_job_with_a_duration_below_a_millisecond_can_be_shown_in_every_state(installation, field):
    for number, value in enumerate([5e-324, 1e-9, 0.0004, 0.0006, "0.1ms"]):
        body = {**JOB, "unique_key": f"key-{number}", "limit_key": "a", field: value}
        first, again = (installation.api.post("/api/v1/jobs", json=body) for _ in range(2))
        assert (first.status_code, again.status_code in (200, 201)) == (201, True), (first.text, again.text)
        if installation.client.inspector.find(first.json["job_id"]):
            look_at(installation, first.json["job_id"])
    go_through_all_states(installation)
    look_everywhere(installation)


@pytest.mark.parametrize(("rate", "burst"), [("0/s", 1), ("1/366d", 1), ("1/366d", 10**6), ("1000000/s", 1)])
def test_a_limit_at_a_bound_is_explained(installation, rate, burst):
    assert installation.api.put("/api/v1/limits/math", json={"rate": rate, "burst": burst}).status_code == 200
    ids = [installation.client.enqueue("math", PAYLOAD, limit_key=key) for key in "aab"]
    installation.worker.fetch(10)
    for job_id in ids:
        look_at(installation, job_id)
    look_everywhere(installation)


#: The payloads of the shipped handlers, and their fields without which none is valid.
PAYLOADS = {each.name: each.payload_type for each in load_handlers(["gopher.handlers"])}
NEEDED = {
    "email": {"to": "a@example.com", "subject": "s", "body": "b"},
    "image_resize": {"url": "file:a.png", "width": 10},
    "math": PAYLOAD,
    "report": {"report_type": "workers"},
    "cleanup": {},
}


def payload_of(job_type: str) -> some.SearchStrategy[tuple[str, dict[str, Any]]]:
    return fields_of(PAYLOADS[job_type]).map(lambda fields: (job_type, NEEDED[job_type] | fields))


@MADE_UP
@given(chosen=some.sampled_from(sorted(PAYLOADS)).flatmap(payload_of))
def submit_payload(installation: Installation, chosen: tuple[str, dict[str, Any]]) -> None:
    job_type, payload = chosen
    accepted = send(installation, "POST", "/api/v1/jobs", {"type": job_type, "payload": payload})
    if accepted is not None:
        assert look_at(installation, accepted["job_id"])["payload"] == payload


def test_a_payload_that_is_accepted_can_be_shown(installation):
    submit_payload(installation)
    look_everywhere(installation)


@MADE_UP
@given(fields=fields_of(ScheduleSpec))
def put_schedule(installation: Installation, fields: dict[str, Any]) -> None:
    body = {**JOB, "cron_expression": "0 3 * * *", **fields}
    if send(installation, "PUT", "/api/v1/schedules/fuzzed", body) is not None:
        look_at_schedule(installation, "fuzzed")


@MADE_UP
@given(fields=fields_of(Recurring))
def submit_recurring(installation: Installation, fields: dict[str, Any]) -> None:
    accepted = send(installation, "POST", "/api/v1/jobs", {**JOB, "recurring": {"cron_expression": "@daily", **fields}})
    if accepted is not None:
        look_at_schedule(installation, accepted["schedule"])


def look_at_schedule(installation: Installation, name: str) -> None:
    view = installation.get(f"/api/v1/schedules/{name}")
    assert "corrupt" not in view, view
    installation.get(f"/api/v1/schedules/{name}/preview?n=5")
    assert name in installation.get(f"/dashboard/schedules/{name}")
    assert name in installation.run("schedules", "show", name)
    installation.run("schedules", "preview", name)
    run = installation.api.post(f"/api/v1/schedules/{name}/run")
    assert run.status_code == 201, run.text
    look_at(installation, run.json["job_id"])


def test_a_schedule_that_is_accepted_can_be_shown_and_run(installation):
    put_schedule(installation)
    submit_recurring(installation)
    look_everywhere(installation)


@MADE_UP
@given(fields=fields_of(filters.LimitRequest))
def put_limit(installation: Installation, fields: dict[str, Any]) -> None:
    body = {"rate": "5/s", **fields} if "burst" in fields else fields
    if send(installation, "PUT", "/api/v1/limits/report", body) is not None:
        (view,) = (view for view in installation.get("/api/v1/limits")["limits"] if view["type"] == "report")
        assert "corrupt" not in view, view
        assert "report" in installation.get("/dashboard/limits")
        assert "report" in installation.run("limits")


def test_a_limit_that_is_accepted_can_be_shown(installation):
    installation.client.enqueue("report", {"report_type": "workers"})
    put_limit(installation)
    look_everywhere(installation)


@MADE_UP
@given(fields=fields_of(filters.RetryAll))
def retry_all(installation: Installation, fields: dict[str, Any]) -> None:
    answer = send(installation, "POST", "/api/v1/dlq/retry-all", {"rate": "1/h", **fields})
    if answer is not None and answer.get("redrive_id"):
        assert not any("corrupt" in row for row in installation.get("/api/v1/dlq/redrives")["redrives"])


def test_a_redrive_that_is_accepted_can_be_shown(installation):
    for _ in range(3):
        installation.client.enqueue("math", PAYLOAD, priority="high")
        installation.worker.dead_letter(installation.worker.fetch()[0])
    retry_all(installation)
    look_everywhere(installation)


@MADE_UP
@given(value=extremes.of_json() | some.dictionaries(some.integers(-2, 2) | some.sampled_from(["1", "0"]), some.none()))
def finish(installation: Installation, value: Any) -> None:
    try:
        result = encode_result(value)
    except BadResult:
        return
    job_id = installation.client.enqueue("math", PAYLOAD, priority="high")
    installation.worker.complete(installation.worker.fetch(), result=result)
    view = look_at(installation, job_id)
    assert "corrupt" not in view, view
    assert view["result"] == (json.loads(result) if result else None)
    assert job_id in installation.run("job", job_id, "--json")


def test_a_result_that_is_stored_can_be_shown(installation):
    finish(installation)
    look_everywhere(installation)


#: The forms of queries, and where they are sent.
QUERIES = {
    "/api/v1/jobs": lists.JobFilter,
    "/api/v1/dlq": filters.DeadListing,
    "/api/v1/dlq/groups": filters.GroupFilter,
    "/api/v1/timeline": lists.Window,
    "/api/v1/types/email/stats": lists.Window,
    "/api/v1/schedules/nightly/preview": filters.PreviewSize,
    "/dashboard/jobs": lists.JobFilter,
    "/dashboard/dead": filters.DeadListing,
    "/dashboard/": lists.Window,
}


@MADE_UP
@given(
    asked=some.sampled_from(sorted(QUERIES)).flatmap(
        lambda path: some.tuples(some.just(path), fields_of(QUERIES[path]))
    )
)
def ask(installation: Installation, asked: tuple[str, dict[str, Any]]) -> None:
    path, fields = asked
    query = urlencode({name: str(value) for name, value in fields.items()}, errors="surrogatepass")
    answer = installation.api.get(f"{path}?{query}")
    assert answer.status_code in (200, 400), (path, query, answer.text)
    if answer.is_json and answer.status_code == 200:
        installation.get(f"{path}?{query}")


def test_a_query_that_is_accepted_is_answered(installation):
    for state in (State.FAILED, State.COMPLETED, State.PENDING):
        installation.job_in(state)
    send(installation, "PUT", "/api/v1/schedules/nightly", {**JOB, "cron_expression": "@daily"})
    ask(installation)


TRACES = some.from_regex(
    r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,4})?",
    fullmatch=True,
    alphabet=some.characters(max_codepoint=126, exclude_characters="\r\n"),
)
HEADERS = {
    "traceparent": TRACES,
    "tracestate": some.from_regex(r"([a-z0-9@*/_-]{1,5}=[ -~]{0,5},?){0,40}", fullmatch=True),
    "baggage": some.text(some.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=1100),
    "X-Request-ID": some.text(some.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=300),
    "Idempotency-Key": some.text(some.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=300),
    "Prefer": some.sampled_from(
        ["wait=0", "wait=" + "0" * 5000, "wait=-1", "wait=0.0", "wait=\u00b2", "wait", ";,=", "respond-async"]
    ),
}


@MADE_UP
@given(headers=some.fixed_dictionaries({}, optional=HEADERS))
def submit_with(installation: Installation, headers: dict[str, str]) -> None:
    answer = installation.api.post("/api/v1/jobs", json=JOB, headers=headers)
    assert answer.status_code in (200, 201, 400), (headers, answer.text)
    answer.headers["X-Request-ID"].encode("ascii")
    if answer.status_code < 400:
        assert "corrupt" not in look_at(installation, answer.json["job_id"])


def test_a_job_that_is_accepted_with_any_header_can_be_shown(installation):
    submit_with(installation)
    look_everywhere(installation)


@MADE_UP
@given(fields=fields_of(Submission))
def submit_by_command(installation: Installation, fields: dict[str, Any]) -> None:
    given = {"type": "math", "payload": json.dumps(PAYLOAD), **fields}
    arguments = ["submit", "--json"]
    for field, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            text = each if isinstance(each, str) else json.dumps(each)
            arguments += [names_of(field)[0], text.replace("\x00", "")]
    done = CliRunner().invoke(cli, arguments, env=installation.environ)
    if isinstance(done.exception, NotReplicated):
        # It is stored, but not confirmed: the server has no replicas.
        (job_id,) = done.exception.job_ids
    else:
        assert isinstance(done.exception, SystemExit | None), (arguments, done.exception)
        job_id = json.loads(done.stdout)["job_id"] if done.exit_code == 0 else None
    if job_id is not None:
        assert "corrupt" not in look_at(installation, job_id)


def test_a_job_that_a_command_submits_can_be_shown(installation):
    submit_by_command(installation)
    look_everywhere(installation)

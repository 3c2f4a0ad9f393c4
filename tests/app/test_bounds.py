"""Times and numbers have bounds, wherever a client gives one: what is out of them is 400, and spoils no page."""

import json
import re
from base64 import urlsafe_b64encode

import msgspec
import pytest
from click.testing import CliRunner
from gopher.app import create_app, jobs
from gopher.cli.main import cli

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, InvalidJob
from gopher.jobs import filters, lists
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import Recurring, Submission

JOB = {"type": "math", "payload": {"operation": "prime", "number": 7}}
SCHEDULE = {**JOB, "cron_expression": "0 3 * * *"}
#: As JSON, since Python could not write some of them.
NUMBERS = [
    *("1e400", "-1e400", "1" * 400, "-" + "1" * 400, "1" * 5000, "1e308", "-1", "-0.5", "1e-320", "9007199254740993"),
    *("18446744073709551616", "NaN", "Infinity", "-Infinity", "0x10", "1_000", "true", "[]", "{}"),
]
TEXTS = [
    *("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "9" * 400 + "d", "1/" + "9" * 400 + "s", "9" * 400 + "/s"),
    *("1000001/s", "1/367d", "0.0/0s", "36526d", "-1", "\u0664", "1e5", "0001-01-01T00:00:00+14:00", "\x00", ""),
    *("0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z"),
    *("2026-11-24T08:00:00+24:00", "99 99 99 99 99", f"{'9' * 40} * * * *", "*/" + "9" * 80 + " * * * *"),
]
VALUES = [*NUMBERS, *map(json.dumps, TEXTS)]


@pytest.fixture(scope="module")
def api(redis_url):
    settings = Settings.from_env({"REDIS_URL": redis_url, "GOPHER_NAMESPACE": "bounds", "LOG_LEVEL": "error"})
    return create_app(settings).test_client()


def bodies(kind, base):
    """Yield a body for each field of a Struct and each value, the rest as in `base`."""
    for field in kind.__struct_encode_fields__:
        others = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in base.items() if name != field)
        for value in VALUES:
            yield f"{{{json.dumps(field)}:{value}{others}}}"


def check_pages(api):
    for path in ("/api/v1/jobs?limit=500", "/api/v1/dlq", "/api/v1/schedules", "/api/v1/limits", "/dashboard/jobs"):
        assert api.get(path).status_code == 200, path
    assert api.get("/dashboard/schedules").status_code == api.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "kind", "base"),
    [
        ("POST", "/api/v1/jobs", Submission, JOB),
        ("POST", "/api/v1/jobs?dry_run=1", Submission, JOB),
        ("PUT", "/api/v1/schedules/bounds", ScheduleSpec, SCHEDULE),
        ("PUT", "/api/v1/limits/math", filters.LimitRequest, {"rate": "5/s"}),
        ("POST", "/api/v1/dlq/retry-all", filters.RetryAll, {}),
        ("POST", "/api/v1/dlq/retry-all", filters.RetryAll, {"rate": "1/s"}),
    ],
)
def test_a_body_with_any_number_or_time_is_taken_or_refused(api, method, path, kind, base):
    refused = 0
    for body in bodies(kind, base):
        answer = api.open(path, method=method, data=body, content_type="application/json")
        # 409: `require_worker`, and there is none.
        assert answer.status_code in (200, 201, 202, 400, 409), (body[:200], answer.text)
        refused += answer.status_code == 400
    assert refused
    check_pages(api)


def test_a_recurring_submission_with_any_number_or_time_is_taken_or_refused(api):
    for recurring in bodies(Recurring, {"cron_expression": "0 3 * * *"}):
        body = f'{json.dumps(JOB)[:-1]},"recurring":{recurring}}}'
        answer = api.post("/api/v1/jobs", data=body, content_type="application/json")
        assert answer.status_code in (200, 201, 400), (body[:200], answer.text)
    check_pages(api)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/v1/jobs", lists.JobFilter),
        ("GET", "/api/v1/dlq", filters.DeadListing),
        ("GET", "/api/v1/dlq/groups", filters.GroupFilter),
        ("GET", "/api/v1/timeline", lists.Window),
        ("GET", "/api/v1/types/email/stats", lists.Window),
        ("GET", "/api/v1/schedules/none/preview", filters.PreviewSize),
        ("DELETE", "/api/v1/dlq", filters.DeadSelection),
        ("GET", "/api/v1/jobs/01a20d1c-ddf1-7545-ad89-39761f6a6c22", jobs.Waiting),
    ],
)
def test_a_query_with_any_number_or_time_is_taken_or_refused(api, method, path, kind):
    cursors = [msgspec.json.encode([number, "x", {}]) for number in (-(2**63), 2**64 - 1, 0)]
    cursors += [b'[1e400,"x",{}]', b'[%s,"x",{}]' % (b"9" * 400), b'[1,"",{"default:pending:normal":["x"]}]']
    texts = [*TEXTS, *NUMBERS, *map(_cursor, cursors)]
    for field in kind.__struct_encode_fields__:
        for text in texts:
            # A wait that is taken is waited for.
            if len(text) < 4000 and (field, text) != ("wait", "1"):
                answer = api.open(path, method=method, query_string={field: text})
                assert answer.status_code in (200, 400, 404), (field, text[:80], answer.text)


def _cursor(text):
    return urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize("wait", ["nan", "inf", "1e400", "-1"])
def test_a_wait_that_has_no_end_is_refused(api, wait):
    answer = api.post("/api/v1/jobs", json=JOB, query_string={"wait": wait})
    assert (answer.status_code, answer.json["field"]) == (400, "/wait")


@pytest.mark.parametrize("field", ["execute_at", "expires_at"])
@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"])
def test_a_time_outside_the_range_is_refused_with_the_range(api, field, text):
    for path in ("/api/v1/jobs", "/api/v1/jobs?dry_run=1"):
        answer = api.post(path, json={**JOB, field: text})
        assert (answer.status_code, answer.json["field"]) == (400, f"/{field}")
        assert "from the year 1970 to 9999 in UTC" in answer.json["details"]


def test_a_job_that_was_due_at_the_first_moment_of_1970_is_due_at_once_and_shown(api):
    job_id = api.post("/api/v1/jobs", json={**JOB, "execute_at": "1970-01-01T00:00:00Z"}).json["job_id"]
    shown = api.get(f"/api/v1/jobs/{job_id}").json
    assert (shown["status"], shown["execute_at"]) == ("pending", "1970-01-01T00:00:00.000Z")


@pytest.mark.parametrize("rate", ["1000001/s", "9" * 99 + "/s", "9" * 400 + "/s", "1/367d", "1/0s", "0.00000000001/d"])
def test_a_rate_out_of_bounds_is_refused_with_the_bounds(api, rate):
    for method, path in (("PUT", "/api/v1/limits/math"), ("POST", "/api/v1/dlq/retry-all")):
        answer = api.open(path, method=method, json={"rate": rate})
        assert (answer.status_code, answer.json["field"]) == (400, "/rate")
        assert "from 1/366d to 1000000/s" in answer.json["details"]


@pytest.mark.parametrize("rate", ["1000000/s", "1/366d", "0/s", "60000000/m"])
def test_a_rate_at_a_bound_is_taken_and_shown(api, rate):
    assert api.put("/api/v1/limits/math", json={"rate": rate}).status_code == 200
    assert api.get("/api/v1/limits").status_code == api.get("/dashboard/limits").status_code == 200


def test_a_limit_per_key_is_set_shown_and_needs_something_to_limit(api):
    answer = api.put("/api/v1/limits/math", json={"rate": "1/h", "per_key": True})
    assert answer.json == {"type": "math", "rate": "1/h", "burst": 1.0, "concurrency": None, "per_key": True}
    assert api.get("/api/v1/limits").json["limits"][0]["per_key"] is True
    assert "each limit key" in api.get("/dashboard/limits").text
    assert api.put("/api/v1/limits/math", json={"per_key": True}).json["field"] == "/rate"
    assert "per_key" not in api.put("/api/v1/limits/math", json={"rate": "1/h"}).json


@pytest.mark.parametrize("field", ["delay", "expires_in", "retention", "retry_for", "timeout", "unique_for"])
@pytest.mark.parametrize("value", ["36526d", "9" * 400, 1e308, 10**30, "9" * 400 + "d", "1" * 100 + "ms"])
def test_a_duration_out_of_bounds_is_refused(api, field, value):
    answer = api.post("/api/v1/jobs", json={**JOB, "unique_key": "u", field: value})
    assert (answer.status_code, answer.json["field"]) == (400, f"/{field}")


@pytest.mark.parametrize(("field", "value"), [("timezone", "localtime"), ("cron_expression", "*/90 * * * *")])
def test_a_schedule_whose_times_differ_by_host_or_mislead_is_refused_everywhere(api, field, value):
    times = {"cron_expression": "0 3 * * *", field: value}
    answer = api.put("/api/v1/schedules/refused", json={**JOB, **times})
    assert (answer.status_code, answer.json["field"]) == (400, f"/{field}")
    for path in ("/api/v1/jobs", "/api/v1/jobs?dry_run=1"):
        answer = api.post(path, json={**JOB, "recurring": times})
        assert (answer.status_code, answer.json["field"]) == (400, f"/recurring/{field}")
    with pytest.raises(ConfigurationError, match=re.escape(value)):
        handler("refused", cron=times["cron_expression"], timezone=times.get("timezone", "UTC"), into=Registry())(
            lambda job, payload: None
        )
    asked = ["schedules", "preview", "--cron", times["cron_expression"], "--tz", times.get("timezone", "UTC")]
    assert isinstance(CliRunner().invoke(cli, asked).exception, InvalidJob)


def test_a_schedule_of_an_earlier_version_in_such_a_timezone_is_shown_and_continues(api, redis_url):
    client = Client(redis_url, namespace="bounds")
    client.schedules.put("kept", ScheduleSpec(**{**SCHEDULE, "payload": msgspec.Raw(b"{}"), "type": "kept"}))
    keys = client.server.keys.for_queue("default")
    definition = client.server.client.hget(keys.schedules, "kept").replace(b'"UTC"', b'"Factory"')
    client.server.client.hset(keys.schedules, "kept", definition)
    shown = api.get("/api/v1/schedules/kept").json
    assert (shown["timezone"], shown.get("corrupt")) == ("Factory", None)
    assert api.get("/api/v1/schedules/kept/preview").status_code == 200
    assert api.post("/api/v1/schedules/kept/resume").json["next_run_at"]
    client.close()

"""Schedules: their rules, their jobs, and what becomes of times that were missed."""

import msgspec
import pytest

from gopher.errors import InvalidJob
from gopher.job import created_ms
from gopher.schedule import ScheduleSpec, check_name, from_recurring, parse_spec, plan, tick_job
from gopher.submission import parse

MINUTE = 60_000
NOON = 1_795_521_600_000


def spec(**fields: object) -> ScheduleSpec:
    values = {"cron_expression": "* * * * *", "type": "cleanup", "payload": msgspec.Raw(b"{}")}
    return ScheduleSpec(**{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(("missed", "jobs"), [("skip", 0), ("run_once", 1), ("run_all", 3)])
def test_after_three_missed_times_the_policy_decides_how_many_jobs_there_are(missed: str, jobs: int) -> None:
    fires, next_time = plan(spec(missed=missed), NOON, NOON + 2 * MINUTE + 30_000)
    assert len(fires) == jobs
    assert next_time == NOON + 3 * MINUTE


@pytest.mark.parametrize("missed", ["skip", "run_once", "run_all"])
def test_a_time_that_is_only_a_little_late_always_runs(missed: str) -> None:
    assert plan(spec(missed=missed), NOON, NOON + 40) == ([NOON], NOON + MINUTE)


def test_catching_up_makes_a_hundred_jobs_at_most_the_oldest_first() -> None:
    fires, next_time = plan(spec(missed="run_all"), NOON, NOON + 500 * MINUTE + 1)
    assert fires == [NOON + MINUTE * number for number in range(100)]
    assert next_time == NOON + 501 * MINUTE


def test_one_job_for_a_long_absence_is_that_of_the_latest_time() -> None:
    fires, _ = plan(spec(missed="run_once"), NOON, NOON + 500 * MINUTE + 1)
    assert fires == [NOON + 500 * MINUTE]


def test_the_job_of_a_time_has_the_same_id_whoever_makes_it() -> None:
    first, again = (tick_job(spec(), "nightly", "gopher", NOON) for _ in range(2))
    assert first.id == again.id
    assert created_ms(first.id) == NOON
    others = {
        tick_job(spec(), name, space, time).id
        for name, space, time in [
            ("hourly", "gopher", NOON),
            ("nightly", "other", NOON),
            ("nightly", "gopher", NOON + 1),
        ]
    }
    assert len(others | {first.id}) == 4


def test_the_same_schedule_is_stored_as_the_same_bytes() -> None:
    one = parse_spec(b'{"cron_expression":"@daily","type":"a","payload":{"x": 1}}', None)
    two = parse_spec(b'{"payload":{"x": 1},  "type":"a","cron_expression":"@daily","missed":"run_once"}', None)
    assert one.definition() == two.definition()
    assert parse_spec(one.definition(), None) == one


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"type":"a","payload":{}}', "/cron_expression"),
        (b'{"cron_expression":"0 0 31 2 *","type":"a","payload":{}}', "/cron_expression"),
        (b'{"cron_expression":"@daily","timezone":"x","type":"a","payload":{}}', "/timezone"),
        (b'{"cron_expression":"@daily","missed":"x","type":"a","payload":{}}', "/missed"),
        (b'{"cron_expression":"@daily","overlap":"x","type":"a","payload":{}}', "/overlap"),
        (b'{"cron_expression":"@daily","priority":"x","type":"a","payload":{}}', "/priority"),
        (b'{"cron_expression":"@daily","type":"a","payload":[]}', "/payload"),
        (b'{"cron_expression":"@daily","type":"a","payload":{},"delay":"5s"}', "/delay"),
    ],
)
def test_a_schedule_that_breaks_a_rule_is_refused_with_the_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidJob) as refused:
        parse_spec(body, None)
    assert refused.value.field == field


def test_a_recurring_submission_becomes_a_schedule_with_a_name() -> None:
    submission = parse(b'{"type":"a","payload":{},"priority":"low","recurring":{"cron_expression":"0 0 * * *"}}')
    assert submission.recurring is not None
    name, made = from_recurring(submission.recurring, submission, None)
    assert name == from_recurring(submission.recurring, submission, None)[0]
    assert name.startswith("a-")
    assert (made.cron_expression, made.priority, made.timezone) == ("0 0 * * *", "low", "UTC")


def test_a_recurring_submission_can_not_also_be_delayed() -> None:
    submission = parse(b'{"type":"a","payload":{},"delay":"5s","recurring":{"cron_expression":"0 0 * * *"}}')
    assert submission.recurring is not None
    with pytest.raises(InvalidJob) as refused:
        from_recurring(submission.recurring, submission, None)
    assert refused.value.field == "/delay"


@pytest.mark.parametrize("name", ["", "A", "a b", "a:b", "a{b}", "x" * 65])
def test_refuses_a_name_that_can_not_be_one(name: str) -> None:
    with pytest.raises(InvalidJob):
        check_name(name)

"""Schedules: their rules, their jobs, and what becomes of times that were missed."""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gopher.errors import InvalidJob
from gopher.jobs.cron import CronExpression
from gopher.jobs.job import created_ms
from gopher.jobs.schedule import ScheduleSpec, check_name, dropped, from_recurring, parse_spec, plan, tick_job
from gopher.jobs.submission import MISSED, parse

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


@pytest.mark.parametrize(("expression", "tolerance"), [("* * * * *", 5_000), ("* * * * * *", 500)])
def test_a_time_is_missed_after_five_seconds_or_half_the_period(expression: str, tolerance: int) -> None:
    skipping = spec(cron_expression=expression, missed="skip")
    assert plan(skipping, NOON, NOON + tolerance)[0] == [NOON]
    assert plan(skipping, NOON, NOON + tolerance + 1)[0] == []


@pytest.mark.parametrize("missed", MISSED)
def test_times_that_are_on_time_together_all_run(missed: str) -> None:
    burst = spec(cron_expression="0,1,2,3 0 * * * *", missed=missed)
    # After these two there is an hour's rest, so both are on time for five seconds.
    assert plan(burst, NOON + 2_000, NOON + 4_000) == ([NOON + 2_000, NOON + 3_000], NOON + 60 * MINUTE)


def test_catching_up_makes_a_hundred_jobs_at_most_the_oldest_first() -> None:
    all_of_them = spec(missed="run_all")
    fires, next_time = plan(all_of_them, NOON, NOON + 500 * MINUTE + 30_000)
    assert fires == [NOON + MINUTE * number for number in range(100)]
    assert next_time == NOON + 501 * MINUTE
    assert dropped(all_of_them, NOON, fires, next_time) == 401


def test_a_time_that_is_on_time_runs_however_many_were_missed() -> None:
    all_of_them = spec(missed="run_all")
    fires, next_time = plan(all_of_them, NOON, NOON + 500 * MINUTE + 1)
    assert fires == [*(NOON + MINUTE * number for number in range(99)), NOON + 500 * MINUTE]
    assert dropped(all_of_them, NOON, fires, next_time) == 401


@pytest.mark.parametrize("late", [1, 30_000])
def test_one_job_for_a_long_absence_is_that_of_the_latest_time(late: int) -> None:
    fires, _ = plan(spec(missed="run_once"), NOON, NOON + 500 * MINUTE + late)
    assert fires == [NOON + 500 * MINUTE]


@pytest.mark.parametrize("missed", MISSED)
def test_a_year_of_missed_seconds_is_planned_at_once(missed: str) -> None:
    every_second = spec(cron_expression="* * * * * *", missed=missed)
    now = NOON + 365 * 86_400_000 + 900
    started = time.process_time()
    fires, next_time = plan(every_second, NOON, now)
    left = dropped(every_second, NOON, fires, next_time)
    assert time.process_time() - started < 5
    assert (len(fires), left) == {"skip": (0, 0), "run_once": (1, 0), "run_all": (100, 1000)}[missed]
    assert next_time == now + 100


def test_a_time_that_has_not_come_is_waited_for() -> None:
    assert plan(spec(), NOON, NOON - 1) == ([], NOON)


@settings(max_examples=150, deadline=None)
@given(
    expression=st.sampled_from(
        [
            "* * * * *",
            "*/15 * * * *",
            "0,1,2,3 0 * * * *",
            "*/7 * * * * *",
            "30 2 * * *",
            "0 0 29 2 *",
            "0 9 * * mon-fri",
        ]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    start=st.integers(NOON, NOON + 300 * 86_400_000),
    absence=st.one_of(st.integers(0, 10_000), st.integers(0, 86_400_000 // 4)),
    limit=st.integers(10, 100),
)
def test_a_plan_keeps_its_rules(expression: str, zone: str, start: int, absence: int, limit: int) -> None:
    cron = CronExpression(expression, zone)
    expected = cron.next_after(start)
    now = expected + absence
    due = [expected, *cron.fires_between(expected, now, 10_000)]
    tolerance = min(5_000, cron.period_after(expected) // 2)
    on_time = [fire for fire in due if now - fire <= tolerance]
    missed = due[: len(due) - len(on_time)]
    wanted = {
        "skip": on_time,
        "run_once": on_time or due[-1:],
        "run_all": missed[: limit - len(on_time)] + on_time,
    }
    for policy, fires in wanted.items():
        schedule = spec(cron_expression=expression, timezone=zone, missed=policy)
        assert plan(schedule, expected, now, limit) == (fires, cron.next_after(now))
        left = len(due) - len(fires) if policy == "run_all" else 0
        assert dropped(schedule, expected, fires, cron.next_after(now)) == min(left, 1000)


def test_the_job_of_a_scheduled_time_has_the_same_id_on_every_scheduler() -> None:
    first, again = (tick_job(spec(), "nightly", "gopher", NOON) for _ in range(2))
    assert first == again
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


#: The fields that the release before knows in a stored schedule: one with any other does not fire there.
FIELDS_BEFORE = set(
    "cron_expression type payload timezone missed overlap paused priority queue max_retries timeout expires_in "
    "retention retry_for limit_key metadata origin".split()
)


@pytest.mark.parametrize("metadata", [b"null", b"{}", b'{"a":123456789012345678901234567890}'])
def test_the_release_before_can_read_a_stored_schedule_with_tags(metadata: bytes) -> None:
    body = b'{"cron_expression":"@daily","type":"a","payload":{},"tags":["x","y"],"metadata":%s}' % metadata
    asked = parse_spec(body, None)
    stored = asked.definition()
    assert set(msgspec.json.decode(stored)) <= FIELDS_BEFORE
    read = parse_spec(stored, None)
    assert read.tags == asked.tags == ["x", "y"]
    assert (bytes(read.metadata) if metadata.startswith(b'{"') else metadata) == metadata
    assert read.definition() == stored


def test_metadata_that_only_looks_like_it_has_tags_is_left_alone() -> None:
    body = b'{"cron_expression":"@daily","type":"a","payload":{},"metadata":{"gopher.tags":7}}'
    assert bytes(parse_spec(body, None).metadata) == b'{"gopher.tags":7}'


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
def test_a_schedule_that_is_invalid_is_refused_with_the_field(body: bytes, field: str) -> None:
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


@pytest.mark.parametrize(
    ("recurring", "field"),
    [
        ('{"cron_expression": "0 0 31 2 *"}', "/recurring/cron_expression"),
        ('{"cron_expression": "@daily", "timezone": "Mars/Olympus"}', "/recurring/timezone"),
        ('{"cron_expression": "@daily", "missed": "x"}', "/recurring/missed"),
        ('{"cron_expression": "@daily", "name": "A b"}', "/recurring/name"),
        ('{"cron_expression": "@daily", "name": ""}', "/recurring/name"),
    ],
)
def test_a_recurring_submission_that_is_invalid_is_refused_with_the_field(recurring: str, field: str) -> None:
    submission = parse(f'{{"type":"a","payload":{{}},"recurring":{recurring}}}'.encode())
    assert submission.recurring is not None
    with pytest.raises(InvalidJob) as refused:
        from_recurring(submission.recurring, submission, None)
    assert refused.value.field == field


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


def test_the_tenant_of_a_schedule_is_stored_where_the_release_before_leaves_it_alone():
    spec = ScheduleSpec(cron_expression="@daily", type="email", payload=msgspec.Raw(b"{}"), tenant="shop")
    assert b'"metadata":{"gopher.tenant":"shop"}' in spec.definition()
    assert parse_spec(spec.definition(), None).tenant == "shop"
    assert b"tenant" not in msgspec.structs.replace(spec, tenant=None).definition()

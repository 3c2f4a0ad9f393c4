"""What a process announces, and when it has to declare it again."""

import time

import pytest

from gopher.jobs.handlers import Registry, handler
from gopher.queue.announcing import Announcer, period


@pytest.fixture
def registry():
    registry = Registry()
    for name, options in {
        "plain": {},
        "nightly": {"cron": "@daily"},
        "report": {"cron": "@daily", "queue": "reports"},
        "both": {"cron": "@daily", "concurrency": 2},
        "limited": {"rate_limit": "1/s"},
    }.items():
        handler(name, into=registry, **options)(lambda job, payload: None)
    return registry


def test_a_worker_announces_limits_in_the_queues_that_it_serves_and_schedules_in_theirs(registry):
    assert Announcer(registry, 600.0, ["default", "mail"]).declared == {
        "default": ["limit:both", "limit:limited", "schedule:both", "schedule:nightly"],
        "mail": ["limit:both", "limit:limited"],
        "reports": ["schedule:report"],
    }


def test_a_scheduler_announces_schedules(registry):
    assert Announcer(registry, 600.0).declared == {
        "default": ["schedule:both", "schedule:nightly"],
        "reports": ["schedule:report"],
    }


def test_it_is_due_at_the_start_and_then_every_minute_or_more_often_where_things_are_withdrawn_soon(monkeypatch):
    assert [period(after) for after in (5.0, 600.0, 86_400.0)] == [0.5, 60.0, 60.0]
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    announcer = Announcer(Registry(), 600.0)
    assert announcer.is_due()
    now += 59
    assert not announcer.is_due()
    announcer.hurry()
    assert announcer.is_due()
    now += 60
    assert announcer.is_due()


@pytest.mark.parametrize(("gap", "lapsed"), [(60, False), (539, False), (541, True), (86_400, True), (-5, True)])
def test_after_a_gap_in_which_it_may_have_been_withdrawn_all_of_it_is_declared_again(monkeypatch, gap, lapsed):
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    announcer = Announcer(Registry(), 600.0)
    assert not announcer.confirmed()
    now += gap
    assert announcer.confirmed() is lapsed

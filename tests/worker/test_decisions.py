"""What becomes of an attempt that did not end well."""

import msgspec
import pytest
from gopher.worker.messages import Failed
from gopher.worker.queue_side.decisions import (
    NO_HANDLER_ATTEMPTS,
    UNCOUNTED_DELAY,
    history_row,
    on_crash,
    on_failure,
    on_no_handler,
    on_timeout,
    within,
)

from gopher.jobs.backoff import Backoff
from gopher.jobs.handlers import Handler
from gopher.queue.replies import FetchedJob


def job(attempt=1, crashes=(), lost=0):
    return FetchedJob("id", "token.1", "email", "normal", attempt, tuple(crashes), lost, envelope=b"{}")


def failed(kind="error", after=None, **more):
    words = {"error_type": "ValueError", "message": "broken", "traceback": "Traceback ...", **more}
    return Failed(number=1, seconds=0.1, kind=kind, after=after, **words)


def decide(job, failed, max_retries=3, handler=None):
    return on_failure(job, failed, handler, max_retries=max_retries, timeout=30.0)


def error_of(decision):
    return msgspec.json.decode(decision.error)


STEADY = Handler("email", lambda job, payload: None, dict, backoff=Backoff("linear", 10, jitter=False))


@pytest.mark.parametrize(("attempt", "kind"), [(1, "retry"), (3, "retry"), (4, "dead"), (9, "dead")])
def test_three_retries_are_four_attempts(attempt, kind):
    assert decide(job(attempt), failed()).kind == kind


def test_without_retries_the_first_failure_is_the_last():
    decision = decide(job(), failed(), max_retries=0)
    assert (decision.kind, decision.outcome, decision.error_type) == ("dead", "failed", "ValueError")
    assert error_of(decision) == {
        "type": "ValueError", "message": "broken", "traceback": "Traceback ...", "permanent": False,
    }  # fmt: skip


def test_waits_by_the_handlers_backoff():
    assert [decide(job(n), failed(), handler=STEADY).delay for n in (1, 2, 3)] == [10, 20, 30]


def test_uses_the_default_backoff_without_a_handler():
    assert 0 <= decide(job(2), failed()).delay <= 2


def test_waits_as_long_as_the_handler_asked():
    assert decide(job(), failed("retry", after=77.0), handler=STEADY).delay == 77.0
    assert decide(job(), failed("retry", after=0.0), handler=STEADY).delay == 0.0
    assert decide(job(), failed("retry"), handler=STEADY).delay == 10


def test_asking_for_a_retry_counts_as_an_attempt():
    assert decide(job(4), failed("retry", after=1.0)).kind == "dead"


def test_a_discarded_job_is_dead_at_once():
    decision = decide(job(), failed("discard"), max_retries=100)
    assert decision.kind == "dead"
    assert error_of(decision)["permanent"] is True


def test_a_snoozed_job_goes_back():
    decision = decide(job(9), failed("snooze", after=5.0), max_retries=0)
    assert (decision.kind, decision.delay) == ("requeue", 5.0)


def test_a_rate_limited_job_holds_its_type_back():
    decision = decide(job(9), failed("rate_limited", after=5.0), max_retries=0)
    assert (decision.kind, decision.delay) == ("throttle", 5.0)


@pytest.mark.parametrize("kind", ["snooze", "rate_limited"])
@pytest.mark.parametrize("after", [0.0, 1e-320, None])
def test_a_job_that_is_not_counted_does_not_run_again_at_once(kind, after):
    assert decide(job(9), failed(kind, after=after), max_retries=0).delay == UNCOUNTED_DELAY


def test_a_cancelled_job_is_cancelled_however_it_took_that():
    assert decide(job(9), failed("cancelled"), max_retries=0).kind == "cancelled"


def test_a_timeout_is_final_if_the_handler_says_so():
    from gopher.handlers.image import image_resize  # noqa: F401 - registers it
    from gopher.jobs.handlers import registry

    picture = registry.require("image_resize")
    for decision in (decide(job(), failed("timeout"), handler=picture), on_timeout(job(), 30.0, 5.0, 5, picture)):
        assert (decision.kind, decision.outcome) == ("dead", "timeout")
        assert error_of(decision)["permanent"] is True
    assert decide(job(), failed("error"), handler=picture).kind == "retry"


def test_a_timeout_is_a_failure_that_names_the_limit():
    decision = decide(job(), failed("timeout"))
    assert (decision.kind, decision.outcome, decision.error_type) == ("retry", "timeout", "Timeout")
    assert error_of(decision)["message"] == "ran longer than its timeout of 30s"


def test_a_kill_says_that_the_handler_did_not_react():
    decision = on_timeout(job(), 30.0, 5.0, 3, STEADY)
    assert (decision.kind, decision.outcome, decision.delay) == ("retry", "timeout", 10)
    assert "did not react to the exception for 5s, and was killed" in error_of(decision)["message"]
    assert on_timeout(job(4), 30.0, 5.0, 3, STEADY).kind == "dead"


@pytest.mark.parametrize(("before", "delay"), [([], 5.0), (["exit 0"], 10.0), (["exit 0"] * 6, 300.0)])
def test_a_crash_waits_longer_each_time(before, delay):
    decision = on_crash(job(len(before) + 1, before), "SIGSEGV", "last words", 99)
    assert (decision.kind, decision.delay, decision.crash) == ("retry", delay, "SIGSEGV")
    assert error_of(decision)["message"] == "its child process ended without a result: SIGSEGV"


def test_a_poison_pill_is_given_up_with_all_of_its_deaths():
    decision = on_crash(job(3, ["SIGKILL", "exit 0"]), "SIGSEGV", "last words", 3)
    assert (decision.kind, decision.outcome, decision.error_type) == ("dead", "crashed", "ChildCrashed")
    assert error_of(decision) == {
        "type": "ChildCrashed",
        "message": "its child process died 3 times (SIGKILL, exit 0, SIGSEGV)",
        "traceback": "last words",
        "permanent": True,
    }


def test_where_one_crash_is_the_limit_it_died_once():
    assert error_of(on_crash(job(), "exit 3", "", 1))["message"] == "its child process died once (exit 3)"


def test_crashes_and_lost_workers_burn_no_retries():
    # Eight attempts, of which three crashed and four were lost: one failure.
    assert decide(job(8, ["SIGKILL"] * 3, lost=4), failed(), max_retries=1).kind == "retry"
    assert decide(job(9, ["SIGKILL"] * 3, lost=4), failed(), max_retries=1).kind == "dead"


def test_an_unknown_type_is_tried_again_for_a_while():
    decisions = [on_no_handler(job(attempt)) for attempt in range(1, NO_HANDLER_ATTEMPTS + 1)]
    assert [decision.kind for decision in decisions] == ["retry"] * (NO_HANDLER_ATTEMPTS - 1) + ["dead"]
    assert {decision.error_type for decision in decisions} == {"NoHandler"}
    assert "'email'" in error_of(decisions[0])["message"]


def test_no_retry_begins_after_the_time_for_retries():
    again = decide(job(), failed(), handler=STEADY)
    assert within(again, 10.0) is again
    late = within(again, 9.9)
    assert late.kind == "dead"
    assert error_of(late)["message"].startswith("broken (not retried")


def test_the_time_for_retries_changes_nothing_else():
    dead = decide(job(), failed("discard"))
    assert within(dead, -1.0) is dead


def test_a_row_of_the_history_tells_the_attempt_with_a_short_message():
    decision = decide(job(2), failed(message="x" * 2000))
    row = msgspec.json.decode(history_row(2, decision, "worker-1", (1000, 1250), 0.2501))
    assert row == {
        "attempt": 2, "outcome": "failed", "worker": "worker-1", "started_at": 1000, "ended_at": 1250,
        "duration": 0.2501,
        "error": {"type": "ValueError", "message": "x" * 500},
    }  # fmt: skip

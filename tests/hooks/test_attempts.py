"""Middleware around attempts: its order, what it hears, and what it can do wrong."""

import pytest

from tests.helpers import wait_until
from tests.worker.processes import error_of, result_of

_DOWN = ["outer before", "inner before"]


def hooks(noted):
    return [" ".join(line.split()[:2]) for line in noted.lines()]


@pytest.mark.parametrize("job_type", ["works", "awaits"])
def test_the_first_is_outermost_and_what_before_sets_the_handler_sees(noted, job_type):
    assert result_of(noted.run(job_type)) == "inner"
    assert noted.lines() == [
        f"outer before {job_type} 1",
        f"inner before {job_type} 1",
        f"inner after {job_type} 1 completed inner",
        f"outer after {job_type} 1 completed inner",
    ]


def test_each_failed_attempt_is_told_and_the_last_one_as_dead(noted):
    assert noted.run("raises", {"what": "Retry"}, max_retries=1).status == "failed"
    inner = [line for line in noted.lines() if line.startswith("inner")]
    assert inner == [
        "inner before raises 1",
        "inner on_failure raises 1 failed Retry child",
        "inner after raises 1 failed None",
        "inner before raises 2",
        "inner on_failure raises 2 failed Retry child",
        "inner on_dead raises 2 failed Retry",
        "inner after raises 2 failed None",
    ]
    assert hooks(noted)[2:6] == ["inner on_failure", "inner after", "outer on_failure", "outer after"]


@pytest.mark.parametrize(
    ("job_type", "payload", "error"),
    [
        ("raises", {"what": "Discard"}, "Discard"),
        ("unstorable", {}, "ResultNotJson"),
        ("typed", {"a": "b"}, "InvalidJob"),
    ],
)
def test_a_permanent_failure_is_dead_at_once(noted, job_type, payload, error):
    view = noted.run(job_type, payload, max_retries=5)
    assert view.status == "failed"
    assert f"outer on_failure {job_type} 1 failed {error} child" in noted.lines()
    assert hooks(noted).count("outer on_dead") == 1


def test_a_job_whose_time_for_retries_is_over_is_told_as_dead(noted):
    assert noted.run("fails", max_retries=5, retry_for="10ms").status == "failed"
    assert "outer on_dead fails 1 failed KeyError" in noted.lines()


def test_a_throttled_job_has_not_failed(noted):
    job_id = noted.client.enqueue("raises", {"what": "RateLimited"})
    noted.heard("outer after raises 1 rate_limited None")
    noted.client.cancel(job_id)
    # It may be running again, and would be heard of in the next test.
    noted.client.wait(job_id, 30)
    assert "outer on_failure" not in hooks(noted)


def test_a_before_that_raises_fails_the_attempt_as_the_handler_would(noted):
    view = noted.run("works", metadata={"inner.before": "raise"})
    assert (view.status, error_of(view)["type"], error_of(view)["message"]) == (
        "failed",
        "ValueError",
        "before of inner",
    )
    # The inner one was not begun.
    assert hooks(noted) == [*_DOWN, "outer on_failure", "outer on_dead", "outer after"]


def test_a_before_may_discard_or_snooze_a_job(noted):
    view = noted.run("works", max_retries=5, metadata={"outer.before": "discard"})
    assert (view.status, error_of(view)["type"]) == ("failed", "Discard")
    assert noted.run("works", metadata={"inner.before": "snooze"}).status == "completed"
    assert "outer after works 1 snoozed None" in noted.lines()


@pytest.mark.parametrize("hook", ["inner.after", "outer.after"])
def test_an_after_that_raises_changes_nothing_and_stops_no_other(noted, hook):
    view = noted.run("works", metadata={hook: "raise"})
    assert view.status == "completed"
    assert hooks(noted)[2:] == ["inner after", "outer after"]
    assert "Notes.after() has failed" in "".join(line.line for line in noted.client.logs(view.job_id))


def test_an_on_failure_that_raises_keeps_neither_the_outcome_nor_the_others_from_it(noted):
    view = noted.run("fails", metadata={"inner.on_failure": "raise"})
    assert error_of(view)["type"] == "KeyError"
    assert hooks(noted)[2:] == [
        f"{name} {hook}" for name in ("inner", "outer") for hook in ("on_failure", "on_dead", "after")
    ]


def test_an_on_success_that_raises_fails_the_attempt_before_the_outer_ones(noted):
    view = noted.run("works", metadata={"inner.on_success": "raise"})
    assert (view.status, error_of(view)["message"]) == ("failed", "on_success of inner")
    assert hooks(noted)[2:] == [
        f"{name} {hook}" for name in ("inner", "outer") for hook in ("on_failure", "on_dead", "after")
    ]
    view = noted.run("works", timeout="1s", metadata={"outer.on_success": "hang"})
    assert error_of(view)["type"] == "Timeout"


def test_a_before_that_hangs_ends_by_the_jobs_timeout(noted):
    view = noted.run("works", timeout="1s", metadata={"inner.before": "hang"})
    assert (view.status, error_of(view)["type"]) == ("failed", "Timeout")
    assert error_of(view)["message"] == "ran longer than its timeout of 1s"
    assert "outer on_dead works 1 timeout SoftTimeout" in noted.lines()


def test_an_after_hook_that_hangs_is_stopped_by_the_timeout_and_the_result_is_kept(noted):
    view = noted.run("works", timeout="1s", metadata={"inner.after": "hang"})
    assert (view.status, result_of(view)) == ("completed", "inner")
    assert hooks(noted)[-1] == "outer after"


def test_a_hook_that_hangs_in_c_is_killed_with_its_child(noted):
    view = noted.run("works", timeout="1s", metadata={"inner.after": "hang in C"})
    assert (view.status, error_of(view)["type"]) == ("failed", "Timeout")
    assert "was killed" in error_of(view)["message"]
    noted.heard("outer on_dead works 1 timeout NoneType")
    assert noted.run("works").status == "completed"


def test_threads_of_middleware_stay_and_their_child_too(noted):
    before = result_of(noted.run("pid"))
    assert noted.run("works", metadata={"inner.after": "thread"}).status == "completed"
    assert result_of(noted.run("pid")) == before


def test_a_child_that_dies_is_told_beside_it(noted):
    assert noted.run("dies").status == "failed"
    noted.heard("outer on_dead dies 1 crashed NoneType")
    assert [line for line in noted.lines() if line.startswith("outer")] == [
        "outer before dies 1",
        "outer on_failure dies 1 crashed ChildCrashed beside",
        "outer on_dead dies 1 crashed NoneType",
    ]


def test_an_attempt_that_is_killed_at_its_timeout_is_told_beside_it(noted):
    assert noted.run("stubborn", timeout="1s").status == "failed"
    noted.heard("outer on_failure stubborn 1 timeout Timeout beside")
    noted.heard("outer on_dead stubborn 1 timeout NoneType")


def test_a_soft_timeout_is_told_in_the_child(noted):
    assert noted.run("sleeps", timeout="1s").status == "failed"
    assert "outer on_failure sleeps 1 timeout Timeout child" in noted.lines()


def test_a_type_without_a_handler_is_told_beside_it(noted):
    job_id = noted.client.enqueue("unheard-of", {})
    noted.heard("outer on_failure unheard-of 1 failed NoHandler beside")
    noted.client.cancel(job_id)


def test_a_handler_enqueues_within_the_middleware_too(noted):
    noted.client.wait(result_of(noted.run("enqueues")), 15)
    assert [line for line in noted.lines() if line.split()[1].endswith("_enqueue")] == [
        "outer before_enqueue works",
        "inner before_enqueue works",
        "inner after_enqueue works stored",
        "outer after_enqueue works stored",
    ]


def test_children_that_are_spawned_run_within_the_middleware_too(client, start_worker, tmp_path):
    notes = tmp_path / "notes"
    start_worker(
        client,
        GOPHER_HANDLERS="tests.hooks.noted_handlers",
        NOTES=str(notes),
        WORKER_CONCURRENCY="1",
        WORKER_START_METHOD="spawn",
    )
    for job_type in ("works", "dies"):
        client.wait(client.enqueue(job_type, {}), 30)
    wait_until(lambda: "outer on_dead dies 1 crashed NoneType" in notes.read_text())
    assert "outer after works 1 completed inner" in notes.read_text()


def test_middleware_hears_of_the_worker_and_of_its_children(client, start_worker, tmp_path):
    notes, handlers = tmp_path / "notes", "tests.hooks.noted_handlers"
    worker = start_worker(client, GOPHER_HANDLERS=handlers, NOTES=str(notes), WORKER_CONCURRENCY="1")
    [child] = worker.children()
    processes = tmp_path / "notes.processes"
    # A worker shows itself before its children are ready.
    wait_until(lambda: f"start {child}\n" in processes.read_text())
    assert worker.stop() == 0
    assert processes.read_text().splitlines() == [f"preload {worker.pid}", f"start {child}", f"stop {child}"]

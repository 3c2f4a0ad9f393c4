"""What becomes of a job by what its handler raises: retried, given up, put off, or never understood."""

import re

import pytest

from gopher.base.times import from_rfc3339
from tests.helpers import wait_until
from tests.worker.processes import error_of, result_of


@pytest.fixture(scope="module")
def client(shared):
    return shared.client


def outcomes(view):
    return [row.outcome for row in view.history]


def test_is_tried_again_after_the_time_that_the_handler_asks_for(client):
    view = client.wait(client.enqueue("flaky", {"succeed_at": 3, "after": "300ms"}, max_retries=2), 10)
    assert (view.status, view.attempts, result_of(view)) == ("completed", 3, 3)
    assert outcomes(view) == ["failed", "failed", "completed"]
    assert [row.error and row.error["message"] for row in view.history] == ["not yet", "not yet", None]
    for failed, following in zip(view.history, view.history[1:], strict=False):
        assert from_rfc3339(following.started_at) - from_rfc3339(failed.ended_at) >= 299


def test_is_dead_once_the_retries_are_used_up(client):
    view = client.wait(client.enqueue("flaky", {"succeed_at": 9, "after": "10ms"}, max_retries=2), 10)
    assert (view.status, view.attempts) == ("failed", 3)
    assert error_of(view) == {**error_of(view), "type": "Retry", "message": "not yet", "permanent": False}


def test_an_exception_means_another_attempt_by_the_backoff(client):
    job_id = client.enqueue("raise", {"error": "ValueError", "message": "no good"}, max_retries=5)
    view = wait_until(lambda: (view := client.job(job_id)).status == "retrying" and view)
    error = error_of(view)
    assert (error["type"], error["message"], error["permanent"]) == ("ValueError", "no good", False)
    # The traceback begins with the handler's own frame.
    assert error["traceback"].count("File ") == 1
    assert "raise getattr(builtins" in error["traceback"]
    # The first wait is drawn between 0 and 1 s, the second between 0 and 2 s, ...
    due, ended = from_rfc3339(view.execute_at), from_rfc3339(view.history[-1].ended_at)
    # The attempt ends by the worker's clock, and is rounded: a wait of no time seems to end a millisecond before.
    assert -1 <= due - ended <= 1000 * 2 ** (view.attempts - 1) + 2000
    assert client.cancel(job_id) in ("cancelled", "processing")


@pytest.mark.parametrize(
    ("job_type", "payload", "error_type"),
    [
        ("discard", {}, "Discard"),
        ("raise", {"error": "KeyError"}, "KeyError"),
        ("strict", {"n": "many"}, "InvalidJob"),
        ("strict", {}, "InvalidJob"),
        ("strict", {"n": 1, "m": 2}, "InvalidJob"),
    ],
)
def test_a_permanent_failure_is_given_up_at_once(client, job_type, payload, error_type):
    view = client.wait(client.enqueue(job_type, payload, max_retries=5), 20)
    error = error_of(view)
    assert (view.status, view.attempts, error["type"], error["permanent"]) == ("failed", 1, error_type, True)


def test_dead_letters_are_grouped_by_the_line_that_raised(client):
    for error in ("LookupError", "LookupError", "ArithmeticError"):
        client.wait(client.enqueue("raise", {"error": error}, max_retries=0), 20)
    found = {view.error: view for view in client.dead_letters.groups().groups if view.type == "raise"}
    assert (found["LookupError"].count, found["ArithmeticError"].count) == (2, 1)
    assert re.fullmatch(r"tests/monsters/__init__\.py:\d+ raise_\w*", found["LookupError"].place)


def test_a_payload_that_does_not_fit_names_the_field(client):
    view = client.wait(client.enqueue("strict", {"n": "many"}), 20)
    assert error_of(view)["message"].startswith("/payload/n: ")


def test_a_snoozed_job_comes_back_and_no_attempt_is_counted(client, tmp_path):
    view = client.wait(client.enqueue("snooze", {"mark": str(tmp_path / "mark")}, max_retries=0), 10)
    assert (view.status, view.attempts, result_of(view)) == ("completed", 1, "attempt 1")


@pytest.mark.parametrize("after", ["inf", "nan", "-1", None])
def test_an_exception_that_names_no_time_is_an_error_and_hurts_neither_child_nor_worker(client, tmp_path, after):
    payload = {"mark": str(tmp_path / "mark"), **({"after": after} if after else {})}
    before = client.workers()
    view = client.wait(client.enqueue("throttled", payload), 10)
    error = error_of(view)
    assert (view.status, view.attempts, error["type"], error["message"]) == ("failed", 1, "Throttled", "try later")
    assert "(its retry_after can't be used: expected a duration such as 10s" in error["traceback"]
    assert [each.id for each in client.workers()] == [each.id for each in before]


def test_a_type_that_no_worker_knows_is_tried_again_later(client):
    job_id = client.enqueue("from_the_future", {}, max_retries=0)
    view = wait_until(lambda: (view := client.job(job_id)).status == "retrying" and view)
    assert error_of(view)["type"] == "NoHandler"
    assert "'from_the_future'" in error_of(view)["message"]
    wait = from_rfc3339(view.execute_at) - from_rfc3339(view.history[0].ended_at)
    # The attempt ends by the worker's clock; the wait begins when the server hears of it.
    assert 10_000 - 100 <= wait <= 10_000 + 6_000
    assert client.cancel(job_id) == "cancelled"


def test_a_handlers_own_options_count_where_the_job_says_nothing(client):
    view = client.wait(client.enqueue("impatient", {}), 20)
    assert (view.status, view.attempts) == ("failed", 1)
    assert error_of(view)["message"] == "ran longer than its timeout of 200ms"


def test_a_soft_timeout_reaches_the_handler_as_an_exception(client, tmp_path):
    mark = tmp_path / "mark"
    view = client.wait(client.enqueue("patient", {"mark": str(mark)}, timeout="1s", max_retries=0), 20)
    assert error_of(view)["type"] == "Timeout"
    assert mark.read_text() == "SoftTimeout cancelled=False"


def test_a_handler_that_ends_well_although_its_timeout_has_passed_has_ended_well(client):
    view = client.wait(client.enqueue("recovers", {}, timeout="1s", max_retries=0), 20)
    assert (view.status, result_of(view)) == ("completed", "partial")


def test_a_handler_knows_its_job(client):
    job_id = client.enqueue("who_am_i", {}, metadata={"a": 1}, priority="high", max_retries=7, timeout="25s")
    result = result_of(client.wait(job_id, 20))
    assert 20 < result.pop("left") <= 25
    assert result == {
        "id": job_id, "type": "who_am_i", "queue": "default", "priority": "high", "attempt": 1, "max_retries": 7,
        "metadata": {"a": 1}, "current": True,
    }  # fmt: skip


def test_results_of_any_json_come_back_as_they_were(client):
    payload = {"big": 2**63 - 1, "deep": [[[{"a": None}]]], "text": "ü€😀\u0000", "empty": [], "float": 1e-300}
    assert result_of(client.wait(client.enqueue("echo", payload), 20)) == payload


@pytest.mark.parametrize("size", [31_000, 33_000, 60_000])
def test_payloads_and_results_larger_than_a_packet_pass_in_one_piece(client, size):
    """Several at once, so that some wait behind others."""
    ids = client.enqueue_many({"type": "echo", "payload": {"n": n, "text": chr(97 + n) * size}} for n in range(12))
    for number, job_id in enumerate(ids):
        view = client.wait(job_id, 10)
        assert (view.status, error_of(view)) == ("completed", {})
        assert result_of(view) == {"n": number, "text": chr(97 + number) * size}


def test_a_payload_of_the_largest_size_passes(client):
    view = client.wait(client.enqueue("length", {"text": "x" * 262_000}), 10)
    assert result_of(view) == 262_000


def test_a_job_with_many_parents_gets_their_results(client):
    """Its assignment is larger than a packet, although neither payload nor results are large."""
    parents = client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(800))
    child = client.enqueue("parents", {}, after=parents)
    view = client.wait(child, 30)
    assert (view.status, error_of(view)) == ("completed", {})
    assert result_of(view) == sum(range(800))


def test_a_poison_pill_is_given_up_with_all_of_its_deaths(client, start_worker):
    """Its second attempt waits 5 s after the first crash: so long does this take."""
    start_worker(client, WORKER_MAX_CRASHES="2", WORKER_QUEUES="poison", GOPHER_HANDLERS="tests.monsters")
    job_id = client.enqueue("exit", {"code": 3}, max_retries=0, queue="poison")
    view = wait_until(lambda: (view := client.job(job_id)).status == "retrying" and view)
    assert error_of(view)["message"] == "its child process ended without a result: exit 3"
    view = client.wait(job_id, 30)
    assert (view.status, view.attempts) == ("failed", 2)
    assert error_of(view)["message"] == "its child process died 2 times (exit 3, exit 3)"
    assert outcomes(view) == ["crashed", "crashed"]
    # Both by the worker's clock, each rounded.
    assert from_rfc3339(view.history[1].started_at) - from_rfc3339(view.history[0].ended_at) >= 4999


def test_a_dead_letter_that_is_retried_starts_from_zero(client, tmp_path):
    job_id = client.enqueue("once", {"mark": str(tmp_path / "mark")}, max_retries=0)
    assert client.wait(job_id, 20).status == "failed"
    client.dead_letters.retry(job_id)
    view = client.wait(job_id, 20)
    assert (view.status, view.attempts, outcomes(view)) == ("completed", 1, ["crashed", "completed"])

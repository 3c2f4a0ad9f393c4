"""`submit`: what it stores, what it says, what it refuses."""

from pathlib import Path

import pytest

from gopher.client import Client
from tests.seeding import SeedingWorker

from .conftest import Run

PRIME = '{"operation": "prime", "number": 7}'


def test_prints_the_id_of_a_job_that_is_then_stored(run: Run, client: Client) -> None:
    answer = run("submit", "-t", "math", "-p", PRIME, "-r", "7", "--priority", "high", "--metadata", '{"from": "cli"}')
    assert answer.code == 0
    view = client.job(answer.out.strip())
    assert (view.type, view.status, view.priority, view.max_retries) == ("math", "pending", "high", 7)
    assert bytes(view.metadata) == b'{"from": "cli"}'


def test_answers_in_json_as_the_api_does(run: Run) -> None:
    answer = run("submit", "-t", "math", "-p", PRIME, "--queue", "slow", "--delay", "1h", "--json")
    assert answer.json.keys() == {"job_id", "status", "created_at", "type", "queue", "priority"}
    assert (answer.json["status"], answer.json["queue"]) == ("scheduled", "slow")


def test_gives_the_payload_on_to_the_digit(run: Run, client: Client, tmp_path: Path) -> None:
    text = '{"operation":"prime","number":618970019642690137449562111}'
    (tmp_path / "payload.json").write_text(text)
    from_file = run("submit", "-t", "math", "-p", "@payload.json")
    from_stdin = run("submit", "-t", "math", "-p", "-", stdin=text)
    for answer in (from_file, from_stdin):
        assert bytes(client.job(answer.out.strip()).payload).decode() == text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-t", "nope"], "-t: no handler is registered for 'nope'; registered types: cleanup, email"),
        (["-t", "nope"], "Set GOPHER_HANDLERS to the module that registers it."),
        (["-t", "jobs.greet"], "Set GOPHER_HANDLERS to the module that registers it, such as 'jobs'."),
        (["-t", "maht"], "did you mean 'math'?"),
        (["-t", "math", "-p", "{x"], "-p: JSON is malformed"),
        (["-t", "math", "-p", "[1]"], "-p: must be a JSON object"),
        (["-t", "math", "-p", '{"operation": "prime", "number": -1}'], "-p /number: expected `int` >= 0"),
        (["-t", "math", "-p", PRIME, "--delay", "soon"], "--delay: is 'soon': expected a duration"),
        (["-t", "math", "-p", PRIME, "--at", "noon"], "--at: is 'noon': expected an RFC 3339 time"),
        (["-t", "math", "-p", PRIME, "--queue", "No"], "--queue: is 'No': must match"),
        (["-t", "math", "-p", PRIME, "--delay", "1s", "--at", "2999-01-01T00:00:00Z"], "--at: can't be given together"),
    ],
)
def test_refuses_a_bad_submission_as_usage_and_names_the_option(run: Run, arguments: list[str], reason: str) -> None:
    answer = run("submit", *arguments)
    assert answer.code == 2
    assert reason in answer.err
    assert answer.out == ""


def test_stores_nothing_when_it_refuses(run: Run, client: Client) -> None:
    assert run("submit", "-t", "math", "-p", PRIME, "--timeout", "0").code == 2
    assert client.stats().total_enqueued == 0


def test_suggests_what_to_start_when_no_worker_would_run_the_job(run: Run) -> None:
    answer = run("submit", "-t", "report", "-p", '{"report_type": "workers"}', "--delay", "1h", "--queue", "slow")
    assert "no worker serves 'report' on queue 'slow': start one with `gopherctl worker --queues slow`" in answer.err
    assert "no scheduler is running" in answer.err
    assert "gopherctl scheduler" in answer.err


def test_wait_gives_up_after_its_time_and_fails(run: Run) -> None:
    answer = run("submit", "-t", "math", "-p", PRIME, "--wait", "200ms", "--json")
    assert answer.code == 1
    assert answer.json["status"] == "pending"
    assert "is still pending after 200ms" in answer.err


def test_wait_for_a_job_that_completed_shows_its_result(run: Run, client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("math", {})
    worker.complete(worker.fetch(), result=b'{"prime":true}')
    answer = run("wait", job_id)
    assert answer.code == 0
    assert '{"prime":true}' in answer.out


def test_wait_for_a_job_that_failed_fails(run: Run, client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("math", {})
    worker.dead_letter(worker.fetch()[0])
    answer = run("wait", job_id)
    assert answer.code == 1
    assert "ValueError: it broke" in answer.out


def test_wait_for_nothing_fails(run: Run) -> None:
    answer = run("wait", "nope")
    assert answer.code == 1
    assert "there is no job nope" in answer.err


def test_a_type_that_no_live_worker_serves_is_refused_if_one_is_required(run: Run, client: Client) -> None:
    SeedingWorker(client).show("math")
    assert run("submit", "-t", "math", "-p", PRIME, "--require-worker").code == 0
    answer = run("submit", "-t", "math", "-p", PRIME, "--require-worker", "--queue", "defualt")
    assert answer.code == 1
    assert "did you mean 'default'?" in answer.err

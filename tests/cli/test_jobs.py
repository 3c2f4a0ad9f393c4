"""`job`, `jobs`, `cancel`, `logs`."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import msgspec

from gopher.client import Client
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.reads.listing import MAX_LIMIT
from tests.helpers import wait_until
from tests.seeding import SeedingWorker
from tests.worker.nursery import Raised

from .conftest import Run, answer_on_a_terminal

Background = Callable[..., Raised]


def test_shows_a_job_with_its_payload_and_attempts(run: Run, client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("email", {"to": "ada@example.com", "subject": "s", "body": "b"}, max_retries=2)
    worker.retry(worker.fetch()[0], delay=3600)
    told = run("job", job_id).out
    for part in (job_id, "retrying", "1 of 3", "ada@example.com", "ValueError: it broke"):
        assert part in told
    view = run("job", job_id, "--json").json
    assert (view["status"], view["attempts"], view["history"][0]["outcome"]) == ("retrying", 1, "failed")


def test_shows_whose_a_job_is_also_when_it_was_retried_as_a_dead_letter(
    run: Run, client: Client, worker: SeedingWorker
) -> None:
    job = prepare_fields({"type": "email", "payload": {}})
    client.store([job], submitter=Submitter("shop"))
    worker.dead_letter(worker.fetch()[0])
    assert run("retry", "-i", job.id).code == 0
    assert ["owner", "shop"] in [line.split() for line in run("job", job.id).out.splitlines()]
    assert "owner" not in run("job", client.enqueue("email", {})).out


def test_a_job_that_is_not_there_is_an_error(run: Run) -> None:
    answer = run("job", "nope")
    assert (answer.code, answer.out) == (1, "")
    assert "there is no job nope" in answer.err
    assert "gopherctl jobs" in answer.err


def test_lists_jobs_newest_first_page_by_page(run: Run, client: Client) -> None:
    ids = [client.enqueue("math", {}) for _ in range(3)]
    first = run("jobs", "--limit", "2", "--json").json
    second = run("jobs", "--limit", "2", "--cursor", first["next_cursor"], "--json").json
    listed = [job["job_id"] for job in (*first["jobs"], *second["jobs"])]
    assert sorted(listed) == sorted(ids)
    assert second["next_cursor"] is None
    assert run("jobs").out.splitlines()[0].split()[:3] == ["JOB", "TYPE", "STATUS"]


def test_filters_jobs(run: Run, client: Client, worker: SeedingWorker) -> None:
    done = client.enqueue("math", {}, priority="high")
    client.enqueue("math", {})
    worker.complete(worker.fetch())
    assert [job["job_id"] for job in run("jobs", "--status", "completed", "--json").json["jobs"]] == [done]
    assert "no matching jobs" in run("jobs", "--type", "email").err


def test_cancels_a_waiting_job_once(run: Run, client: Client) -> None:
    job_id = client.enqueue("math", {})
    assert run("cancel", job_id).out == "cancelled\n"
    assert client.job(job_id).status == "cancelled"
    again = run("cancel", job_id)
    assert again.code == 1
    assert "has already finished" in again.err


def test_cancelling_a_running_job_says_that_it_takes_a_moment(run: Run, client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("math", {})
    worker.fetch()
    assert run("cancel", job_id, "--json").json == {"job_id": job_id, "status": "processing"}


def test_shows_logs_without_letting_them_drive_the_terminal(run: Run, client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("math", {})
    log = msgspec.json.encode([[1_790_000_000_000, "clear \x1b[2J it"], [1_790_000_000_001, "done"]])
    worker.complete(worker.fetch(), log=log)
    told = run("logs", job_id).out
    assert "clear \\x1b[2J it" in told
    assert "\x1b" not in told
    assert [line["line"] for line in run("logs", job_id, "--json").json["logs"]] == ["clear \x1b[2J it", "done"]


def test_follows_a_real_job_to_its_result(run: Run, background: Background) -> None:
    background("worker", "--concurrency", "1")
    wait_until(lambda: run("workers", "--json").json["workers"], what="a worker")
    answer = run("submit", "-t", "math", "-p", '{"operation": "factorial", "number": 30}', "--wait", "--json")
    assert answer.code == 0
    assert answer.json["result"]["result"] == "265252859812191058636308480000000"
    assert run("workers").out.split()[0] == "WORKER"
    # The worker notes a moment later that it is done.
    wait_until(lambda: "0/1" in run("workers").out.splitlines()[1], 20, "the worker to be idle")


def test_worker_options_are_checked_as_their_variables_are(run: Run) -> None:
    answer = run("worker", "--queues", "Not A Queue")
    assert answer.code == 1
    assert "WORKER_QUEUES='Not A Queue'" in answer.err


def test_the_longest_page_that_is_offered_is_given(run: Run) -> None:
    assert run("jobs", "--limit", str(MAX_LIMIT)).code == 0
    assert "is not in the range 1<=x<=500" in run("jobs", "--limit", str(MAX_LIMIT + 1)).err


def test_attempts_that_crashed_are_distinguished_wherever_they_are_shown(
    run: Run, client: Client, worker: SeedingWorker
) -> None:
    job_id = client.enqueue("email", {}, max_retries=0)
    queue = client.server.queue("default")
    for _ in range(2):
        worker.retry(worker.fetch()[0], delay=0.0, crash="SIGSEGV")
        wait_until(lambda: client.server.run(queue.promote()).moved)
    worker.dead_letter(worker.fetch()[0], crash="SIGSEGV")
    view = client.job(job_id)
    assert (view.attempts, view.crashes, view.max_retries) == (3, 3, 0)
    for arguments in (["job", job_id], ["jobs"], ["list-failed"]):
        assert "3 (3 crashes)" in run(*arguments).out
    assert run("job", job_id, "--json").json["crashes"] == 3
    # Retried by hand it begins anew.
    client.dead_letters.retry(job_id)
    assert client.job(job_id).describe_attempts() == "0 of 1"


def test_json_on_a_terminal_has_no_character_that_steers_it(client: Client, environ: dict[str, str], run: Run) -> None:
    text = "a\x9b31mb\x7f\u202egpj.exe\u200f\u2028c"
    job_id = client.enqueue("email", {"text": text}, metadata={text: text})
    shown = answer_on_a_terminal(environ, "", "job", job_id, "--json").out
    assert not [each for each in shown if not each.isprintable() and each not in "\r\n"]
    for printed in (shown.partition("{")[1] + shown.partition("{")[2], run("job", job_id, "--json").out):
        assert json.loads(printed)["payload"] == {"text": text}


def test_an_error_of_the_api_has_no_character_that_steers_a_terminal(run: Run) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"error": "x", "code": "invalid_job", "details": "no\x1b[2J\x9b\u202e", "field": "/x\x1b"}
            )
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        answer = run("jobs", GOPHER_URL=f"http://127.0.0.1:{server.server_port}", GOPHER_API_KEY="k")
    assert answer.code == 2
    assert "no\\x1b[2J\\x9b\\u202e" in answer.err
    assert "\x1b" not in answer.err

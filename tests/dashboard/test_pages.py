"""What the pages show, read as a browser without scripts reads them."""

import json

import pytest

from gopher.base.sizes import format_size
from gopher.jobs.job import new_job_id
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.queue.arguments import Completion, as_usage
from tests.app.conftest import EMAIL, running_api
from tests.dashboard.conftest import sampled
from tests.dashboard.reading import Page
from tests.dashboard.strings import ATTACKS

PAGES = ("", "/jobs", "/dead", "/batches", "/schedules", "/queues", "/workers", "/limits", "/webhooks", "/audit")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_with_nothing_in_it_that_could_run(board, path):
    answer = board.get(f"/dashboard{path}")
    assert answer.status_code == 200
    assert Page(answer).what_could_run() == []
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[each] for each in ("script-src", "style-src", "connect-src", "form-action")} == {"'self'"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_needs_comes_from_here_and_is_kept(board, path):
    tags = Page(board.get(f"/dashboard{path}")).tags
    files = {each["src"] for tag, each in tags if tag == "script"}
    files |= {each["href"] for tag, each in tags if tag == "link"}
    assert {file.rpartition(".")[2] for file in files} == {"js", "css", "svg"}
    for file in files:
        answer = board.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("path", PAGES)
def test_a_refresh_brings_the_part_that_is_fresh_and_no_frame(board, path):
    answer = board.get(f"/dashboard{path}", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert '<nav class="pages"' not in answer.text


def test_a_file_outside_the_folder_is_not_to_be_had(board):
    for name in ("../../gate.py", "..%2f..%2f__init__.py", "nothing.css"):
        assert board.get(f"/dashboard/static/x/{name}").status_code == 404


def test_the_overview_shows_each_queue_by_priority(read, client, queue, worker):
    for priority in ("high", "low", "low"):
        client.enqueue("email", EMAIL, queue=queue, priority=priority)
    client.enqueue("email", EMAIL, queue=queue, delay="1h")
    worker.dead_letter(worker.fetch()[0])
    _, high, normal, low, _, running, scheduled, retrying, dead, enqueued, completed, failed, _ = read("").row(queue)
    assert (high, normal, low) == ("0", "0", "2")
    assert (running, scheduled, retrying, dead) == ("0", "1", "0", "1")
    assert (enqueued, completed, failed) == ("4", "0", "1")


def test_the_overview_has_a_drawing_of_the_last_minutes_and_hours(board, read, client, queue, worker):
    sampled(client, queue)
    client.enqueue("email", EMAIL, queue=queue)
    worker.complete(worker.fetch())
    sampled(client, queue)
    for span, words in (("5m", "in the last five minutes"), ("1h", "last hour"), ("24h", "last 24 hours")):
        page = read("", span=span)
        assert words in page.text
        assert len([tag for tag, _ in page.tags if tag == "path"]) == 8
    paths = [attributes["d"] for tag, attributes in read("", span="1h").tags if tag == "path"]
    assert any(paths)
    series = board.get("/dashboard/series", params={"span": "1h"}).json()
    assert series["span"] == 3600
    assert (series["sums"]["enqueued"] >= 1, series["sums"]["completed"] >= 1) == (True, True)
    # Where two samples are too far apart there is a gap, and no rate.
    assert max(rate or 0 for rate in series["rates"]["completed"]) > 0
    assert len(series["times"]) == len(series["latencies"]["run_p95"])
    assert read("", span="2h").status == 400


def test_the_overview_shows_what_is_wrong(read, client, queue):
    client.enqueue("email", EMAIL, queue=queue)
    assert f"queue '{queue}' has jobs and no worker" in read("").text


def test_jobs_are_found_by_status_type_and_queue(read, client, queue, worker):
    done = client.enqueue("email", EMAIL, queue=queue)
    worker.complete(worker.fetch())
    waits = client.enqueue("email", EMAIL, queue=queue)
    assert {link[-36:] for link in read("/jobs", queue=queue).links if "/jobs/" in link} == {done, waits}
    found = read("/jobs", queue=queue, status="pending", type="email", id="").links
    assert {link[-36:] for link in found if "/jobs/" in link} == {waits}
    assert "No matching jobs." in read("/jobs", queue=queue, type="report").text


def test_jobs_are_found_by_tag_error_and_creation(read, client, queue, worker):
    failed = client.enqueue("email", EMAIL, queue=queue, tags=["invoice:7"])
    worker.dead_letter(worker.fetch()[0], "OverflowError")
    client.enqueue("email", EMAIL, queue=queue)

    def found(**filters):
        return {link[-36:] for link in read("/jobs", queue=queue, **filters).links if "/jobs/" in link}

    assert found(tag="invoice:7", sort="created", created_after="1h") == {failed}
    assert found(error="overflowerror: it") == {failed}
    assert found(created_before="1h") == set()
    assert any("tag=invoice:7" in link or "tag=invoice%3A7" in link for link in read(f"/jobs/{failed}").links)
    assert "expected an RFC 3339 time" in read("/jobs", created_after="yesterday").text


def test_a_whole_id_leads_to_its_job(read, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue)
    assert read("/jobs", id=f"  {job_id.upper()} ").path == f"/dashboard/jobs/{job_id}"
    assert "is not a job id" in read("/jobs", id="01a2").text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"status": "done"}, "must be one of"), ({"queue": "Not A Queue"}, "must match"), ({"cursor": "x"}, "cursor")],
)
def test_a_filter_that_is_wrong_is_told_beside_the_form(read, parameters, words):
    page = read("/jobs", **parameters)
    assert page.status == 200
    assert words in page.text


def test_a_parameter_that_is_unknown_does_not_show_everything(read):
    page = read("/jobs", statsu="failed")
    assert page.status == 400
    assert "statsu" in page.text


def test_older_jobs_are_on_the_next_pages(board, client, queue):
    stored = client.enqueue_many([{"type": "email", "payload": EMAIL, "queue": queue}] * 120)
    found, address = [], f"/dashboard/jobs?queue={queue}"
    while address:
        page = Page(board.get(address))
        found += [link[-36:] for link in page.links if "/jobs/" in link]
        address = next((link for link in page.links if "cursor=" in link), None)
    assert sorted(found) == sorted(stored)


def test_a_job_is_shown_from_its_payload_to_its_log(read, client, queue, worker):
    payload = '{"to": "a@example.com", "n": 12345678901234567890123, "x": 1.10}'
    job_id = client.enqueue("email", json.loads(payload), queue=queue, metadata={"order": 7}, max_retries=5)
    worker.complete(worker.fetch(), b'{"big":0.1000000000000000000001}', log=b'[[1790000000000,"a line"]]')
    text = read(f"/jobs/{job_id}").text
    for shown in (job_id, "completed", '"n": 12345678901234567890123', '"order": 7', "1 of 6", "a line", worker.name):
        assert shown in text
    assert '"big": 0.1000000000000000000001' in text
    assert "13ms" in text or "12ms" in text


def test_a_job_shows_whose_it_is(read, client, queue):
    jobs = [prepare_fields({"type": "email", "payload": {}, "queue": queue}) for _ in range(2)]
    client.store(jobs[:1], submitter=Submitter("shop"))
    client.store(jobs[1:])
    assert "Owner shop" in read(f"/jobs/{jobs[0].id}").text
    assert "Owner" not in read(f"/jobs/{jobs[1].id}").text


def test_a_job_shows_the_trace_that_it_was_submitted_in(board, read, queue):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    made = board.post("/api/v1/jobs", json={"type": "email", "payload": EMAIL, "queue": queue}, headers=headers).json()
    assert f"Trace {trace}" in read(f"/jobs/{made['job_id']}").text
    assert "Trace" not in read(f"/jobs/{board.submit(queue=queue).json()['job_id']}").text


def test_a_failed_job_shows_its_error_traceback_and_history(read, client, running):
    job_id = client.enqueue("break", {"texts": ["it is broken"]}, max_retries=0)
    assert client.wait(job_id, 60).status == "failed"
    text = read(f"/jobs/{job_id}").text
    assert "Why it failed it is broken" in text
    assert "Traceback (most recent call last)" in text
    assert "in broken" in text


def test_parents_and_children_are_linked(read, client, queue, worker):
    first, second = (client.enqueue("email", EMAIL, queue=queue) for _ in range(2))
    child = client.enqueue("report", {"report_type": "queue_health"}, queue=queue, after=[first, second])
    assert child in {link[-36:] for link in read(f"/jobs/{first}").links}
    assert {first, second} <= {link[-36:] for link in read(f"/jobs/{child}").links}
    worker.complete(worker.fetch(2))
    worker.complete(worker.fetch())
    # Also once all of them have ended, and one is deleted.
    page = read(f"/jobs/{first}")
    assert child in {link[-36:] for link in page.links}
    assert "Jobs that wait for it" in page.text
    client.server.client.delete(client.server.keys.for_queue(queue).job(second))
    page = read(f"/jobs/{child}")
    assert first in {link[-36:] for link in page.links}
    assert f"{second} deleted" in page.text


def test_a_job_and_its_type_show_what_attempts_have_used(read, client, queue, worker):
    (job,) = [client.enqueue("email", EMAIL, queue=queue)]
    (given,) = worker.fetch()
    done = Completion(given.id, given.token, 312.0, b"", b"", as_usage(0.25, 0.05, 100 * 2**20))
    client.server.run(client.server.queue(queue).complete(worker.name, [done]))
    page = read(f"/jobs/{job}")
    assert f"300ms {format_size(100 * 2**20)}" in page.text
    assert "/dashboard/types/email" in page.links
    text = read("/types/email").text
    assert "Failures by class" in text
    assert "Peak memory" in text
    assert "email" in read("/types").text
    assert read("/types/No!").status == 404
    assert "none is registered" in read("/types/never-met").text
    assert "did you mean" not in read("/types/email").text
    assert "no live worker has a handler for 'emial': did you mean 'email'?" in read("/types/emial").text


def test_a_waiting_job_shows_why_it_is_not_running(read, client, queue):
    client.flow.pause_queue(queue)
    job_id = client.enqueue("email", EMAIL, queue=queue)
    text = read(f"/jobs/{job_id}").text
    assert f"Why it isn't running the queue {queue} is paused" in text
    assert f"no live worker serves the queue {queue}" in text


def test_what_is_very_long_is_cut_and_says_where_the_rest_is(read, client, queue):
    job_id = client.enqueue("email", {"text": "x" * 200_000}, queue=queue)
    page = read(f"/jobs/{job_id}")
    assert len(page.text) < 30_000
    assert f"See all of it with gopherctl job {job_id}" in page.text


def test_a_job_that_is_not_there_is_a_page_that_says_so(read):
    for job_id in (new_job_id(), "nonsense"):
        page = read(f"/jobs/{job_id}")
        assert page.status == 404
        assert "Job not found." in page.text
        assert "Finished jobs are deleted" in page.text
    for path in ("/nowhere", "/webhooks/nope", "/batches/nope"):
        page = read(path)
        assert page.status == 404
        assert "Finished jobs are deleted" not in page.text


def test_reports_that_the_server_is_unavailable_and_reloads(folder):
    with running_api(folder, "redis://127.0.0.1:1", WEB_CONCURRENCY="1") as api:
        answer = api.get("/dashboard")
    assert answer.status_code == 503
    assert answer.headers["Refresh"] == "5"
    assert "The queue is unreachable." in Page(answer).text


# What jobs say is text


def test_all_fields_of_a_job_are_shown_as_text(read, speaking):
    for job_id in speaking[:2]:
        page = read(f"/jobs/{job_id}")
        assert page.what_could_run() == []
        log = page.text.rpartition(" Log ")[2]
        for text in ATTACKS:
            # A log has no characters that steer, and what ends a line begins a new one.
            for line in text.replace("\0", "").lstrip("\u202e").split("\u2028"):
                assert " ".join(line.split()) in log


def test_lists_show_what_jobs_say_as_text(read, speaking):
    for path, parameters in [("/jobs", {}), ("/jobs", {"status": "failed"}), ("/dead", {}), ("", {})]:
        page = read(path, **parameters)
        assert page.what_could_run() == []
    assert all(read(f"/jobs/{job_id}").what_could_run() == [] for job_id in speaking[2:])


def test_all_query_parameters_are_shown_as_text(board, locked):
    for text in ATTACKS:
        filters = dict.fromkeys(("id", "status", "type", "queue", "cursor"), text)
        pages = [(board, "/dashboard/jobs", filters), (board, "/dashboard/jobs", {text: "1"})]
        for api, path, parameters in [*pages, (locked, "/dashboard/sign-in", {"next": text})]:
            page = Page(api.get(path, params=parameters))
            assert page.what_could_run() == []

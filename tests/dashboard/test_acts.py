"""What the buttons do: the same as the API, with the same line in its log."""

import re

import msgspec
import pytest

from gopher.errors import JobNotFound
from gopher.jobs.schedule import ScheduleSpec
from tests.app.conftest import EMAIL
from tests.dashboard.conftest import HANDLERS
from tests.dashboard.reading import Page
from tests.helpers import wait_until
from tests.worker.processes import Worker


@pytest.fixture
def dead(client, queue, worker) -> str:
    job_id = client.enqueue("email", EMAIL, queue=queue)
    worker.dead_letter(worker.fetch()[0])
    return job_id


def test_retry_gives_a_dead_letter_another_chance(press, client, dead):
    page = press(f"/jobs/{dead}", "/retry")
    assert page.path == f"/dashboard/jobs/{dead}"
    assert "Job enqueued again." in page.text
    assert client.job(dead).status == "pending"


def test_discard_deletes_a_dead_letter_permanently(press, client, dead):
    page = press(f"/jobs/{dead}", "/discard")
    assert "Dead letter deleted." in page.text
    with pytest.raises(JobNotFound):
        client.job(dead)


def test_cancel_ends_a_job_that_waits(press, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue)
    assert "Job cancelled." in press(f"/jobs/{job_id}", "/cancel").text
    assert client.job(job_id).status == "cancelled"


def test_cancel_stops_a_job_that_runs(press, client, running, tmp_path):
    job_id = client.enqueue("hold", {"text": "holding", "until": str(tmp_path / "never")})
    wait_until(lambda: client.job(job_id).status == "processing", 20)
    assert "Stopping the job." in press(f"/jobs/{job_id}", "/cancel").text
    assert client.wait(job_id, 60).status == "cancelled"


def test_a_scheduled_job_is_run_now_moved_and_copied(press, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue, delay="1h")
    assert "The job is the next to start." in press(f"/jobs/{job_id}", "/run").text
    assert client.job(job_id).status == "pending"
    page = press(f"/jobs/{job_id}", "/move", queue=f"{queue}-b", priority="high")
    assert f"Job moved to queue {queue}-b, priority high." in page.text
    assert (client.job(job_id).queue, client.job(job_id).priority) == (f"{queue}-b", "high")
    changed = msgspec.json.encode({**EMAIL, "subject": "again"}).decode()
    page = press(f"/jobs/{job_id}", "/copy", payload=changed)
    (copy_id,) = client.job(job_id).copies
    assert (page.path, client.job(copy_id).payload) == (f"/dashboard/jobs/{copy_id}", msgspec.Raw(changed.encode()))
    assert f"/dashboard/jobs/{job_id}" in page.links


def test_a_copy_whose_payload_is_wrong_says_so(press, client, dead):
    page = press(f"/jobs/{dead}", "/copy", payload='{"to": 1}')
    assert page.status == 400
    assert "/payload" in page.text


def test_jobs_that_match_are_cancelled_with_progress_and_stopped(board, press, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue)
    assert "1 job to look at" in press("/jobs", "/start", queue=queue, type="email").text
    (own,) = [view for view in client.waiting.cancellations() if view.queue == queue]
    assert "Cancellation stopped." in press("/jobs", f"/{own.cancellation_id}/stop").text
    assert client.waiting.stop_cancellation(own.cancellation_id) is False
    assert client.job(job_id).status == "pending"


def test_jobs_are_cancelled_with_the_filters_of_the_list(board, press, client, queue):
    job_id = client.enqueue("email", EMAIL, queue=queue, tags=["shown"])
    page = Page(board.get(f"/dashboard/jobs?queue={queue}&type=email&created_before=1h"))
    (form,) = [form for form in page.forms if form.action.endswith("/start")]
    assert {"queue": queue, "type": "email", "created_before": "1h"}.items() <= form.fields.items()
    assert "1 job to look at" in press(f"/jobs?queue={queue}&created_before=1h", "/start").text
    (own,) = [view for view in client.waiting.cancellations() if view.queue == queue]
    assert own.created_before is not None
    client.waiting.stop_cancellation(own.cancellation_id)
    assert client.job(job_id).status == "pending"


@pytest.mark.parametrize("filters", ["tag=shown", "error=it+broke", "created_after=1h", "status=failed"])
def test_no_more_jobs_are_cancelled_than_a_list_shows(board, filters):
    page = Page(board.get(f"/dashboard/jobs?type=email&{filters}"))
    assert not [form for form in page.forms if form.action.endswith("/start")]
    assert "To cancel many jobs, filter only by" in page.text


def test_only_what_can_be_done_has_a_button(board, client, queue, worker, dead):
    completed = client.enqueue("email", EMAIL, queue=queue)
    worker.complete(worker.fetch())
    ends = [form.action.rpartition("/")[2] for form in Page(board.get(f"/dashboard/jobs/{dead}")).forms]
    assert ends == ["retry", "copy", "discard"]
    assert [form.action.rpartition("/")[2] for form in Page(board.get(f"/dashboard/jobs/{completed}")).forms] == [
        "copy"
    ]


def test_what_was_done_is_told_once(press, board, dead):
    assert "Job enqueued again" in press(f"/jobs/{dead}", "/retry").text
    assert "Job enqueued again" not in Page(board.get(f"/dashboard/jobs/{dead}")).text


def test_a_job_that_someone_else_retried_meanwhile_is_left_alone(press, board, client, dead):
    form = Page(board.get(f"/dashboard/jobs/{dead}")).form("/retry")
    client.dead_letters.retry(dead)
    page = Page(board.post(form.action, data=form.fields, follow_redirects=True))
    assert page.status == 409
    assert "only failed jobs can be retried" in page.text
    assert f"/dashboard/jobs/{dead}" in page.links


def group_of(client, queue) -> str:
    return client.dead_letters.groups(queue).groups[0].group


def test_dead_letters_are_grouped_by_error(board, client, queue, dead):
    group = group_of(client, queue)
    text = Page(board.get("/dashboard/dead", params={"queue": queue})).text
    assert "ValueError" in text
    assert "it broke: ValueError" in text
    page = Page(board.get("/dashboard/dead", params={"group": group}))
    assert dead in "".join(page.links)
    assert "No matching dead letters." in Page(board.get("/dashboard/dead", params={"group": "none-of-that-name"})).text


@pytest.fixture
def own_error(client, queue, worker):
    """Three dead letters of a group that no other test's dead letters are in."""
    for _ in range(3):
        client.enqueue("email", EMAIL, queue=queue)
    error = f"Error{queue[-8:]}"
    for job in worker.fetch(3):
        worker.dead_letter(job, error)
    return group_of(client, queue)


def test_a_group_is_retried_at_once(board, press, client, queue, own_error, log_of):
    form = form_of(board, "/dead/retry", own_error)
    page = Page(board.post(form.action, data=form.fields, follow_redirects=True))
    assert "Retried 3 dead letters." in page.text
    assert client.stats().queues[queue].failed == 0
    assert audited(log_of()) == ["dead_letters.retry_all"]
    assert "count=3" in log_of()


def test_a_group_is_redriven_gradually_and_the_redrive_is_stopped(board, press, client, queue, own_error):
    form = form_of(board, "/dead/retry", own_error)
    answer = board.post(form.action, data={**form.fields, "canary": "1", "rate": "5/s"}, follow_redirects=True)
    assert "Started a gradual redrive of 3 dead letters." in Page(answer).text
    (redrive,) = [each for each in client.dead_letters.redrives() if each.group == own_error]
    assert (redrive.canary, redrive.rate, redrive.total) == (1, "5/s", 3)
    press("/dead", f"/dead/redrives/{redrive.redrive_id}/stop")
    assert {each.status for each in client.dead_letters.redrives() if each.group == own_error} == {"stopped"}


@pytest.mark.parametrize("fields", [{"canary": "many"}, {"rate": "fast"}, {"canary": "1000"}, {"group": ""}])
def test_a_retry_that_is_not_understood_retries_nothing(board, client, queue, own_error, fields):
    form = form_of(board, "/dead/retry", own_error)
    answer = board.post(form.action, data={**form.fields, **fields})
    assert answer.status_code == 400
    assert client.stats().queues[queue].failed == 3


def test_a_group_is_discarded_and_others_are_kept(board, client, queue, worker, own_error, dead):
    form = form_of(board, "/dead/discard", own_error)
    page = Page(board.post(form.action, data=form.fields, follow_redirects=True))
    assert "Deleted 3 dead letters." in page.text
    assert client.stats().queues[queue].failed == 1
    assert client.job(dead).status == "failed"


def form_of(board, end, group):
    forms = Page(board.get("/dashboard/dead")).forms
    (found,) = [each for each in forms if each.action.endswith(end) and each.fields.get("group") == group]
    return found


def test_an_act_is_no_get(board, client, dead):
    assert board.get(f"/dashboard/jobs/{dead}/discard").status_code in (404, 405)
    assert client.job(dead).status == "failed"


def audited(log: str) -> list[str]:
    """Return which of the API's calls a log says were made."""
    return re.findall(r"^.* audit .*\baction=(\S+)", log, re.MULTILINE)


@pytest.fixture
def log_of(board):
    """Return what the API's log says since the test began."""
    start = len(board.log.read_text())
    return lambda: board.log.read_text()[start:]


def test_a_queue_is_paused_and_resumed(press, client, queue, worker, log_of):
    assert f"Queue {queue} paused" in press("/queues", f"/queues/{queue}/pause").text
    assert queue in client.flow.paused_queues()
    press("/queues", f"/queues/{queue}/resume")
    assert queue not in client.flow.paused_queues()
    assert audited(log_of()) == ["flow.pause_queue", "flow.resume_queue"]


def test_what_is_paused_is_on_the_overview_and_resumed_there(press, read, client, queue):
    client.flow.pause_queue(queue)
    client.flow.pause_type("report")
    assert f"Queue {queue} , for" in read("").text or f"Queue {queue}, for" in read("").text
    assert f"Queue {queue} resumed." in press("", f"/queues/{queue}/resume").text
    assert "Type report resumed." in press("", "/types/resume", type="report").text
    assert queue not in client.flow.paused_queues()
    assert "report" not in client.stats().paused_types


def test_a_queue_is_emptied_of_one_state(press, client, queue, worker, log_of):
    waiting, later = (
        client.enqueue("email", EMAIL, queue=queue),
        client.enqueue("email", EMAIL, queue=queue, delay="1h"),
    )
    assert f"Deleted 1 pending job from queue {queue}." in press("/queues", f"/{queue}/purge", state="pending").text
    assert (client.inspector.job(waiting), client.job(later).status) == (None, "scheduled")
    assert audited(log_of()) == ["queues.purge"]
    assert f"'queue': '{queue}', 'state': 'pending'" in log_of()
    assert "count=1" in log_of()
    assert press("/queues", f"/{queue}/purge", state="processing").status == 400
    press("/queues", f"/{queue}/purge", state="scheduled")
    assert client.inspector.job(later) is None


def test_a_type_is_limited_paused_and_set_free(press, client, queue, worker, log_of):
    page = press("/limits", "/limits/set", type="report", rate="600/m", burst="", concurrency="3")
    assert "Limit of report updated" in page.text
    (limit,) = [each for each in client.flow.limits() if (each.type, each.queue) == ("report", queue)]
    assert (limit.rate, limit.concurrency) == ("10/s", 3)
    assert audited(log_of()) == ["flow.set_limit"]
    press("/limits", "/types/pause", type="report")
    assert {each.paused for each in client.flow.limits() if each.type == "report"} == {True}
    press("/limits", "/types/resume", type="report")
    press("/limits", "/limits/clear", type="report")
    assert [each for each in client.flow.limits() if each.type == "report"] == []


def test_throttled_limit_keys_are_shown_and_released(press, board, client, queue, worker, log_of):
    keys = ('ann"<b>', "bob")
    for key in keys:
        client.enqueue("email", EMAIL, queue=queue, limit_key=key)
    for job in worker.fetch(2):
        worker.throttle(job)
    text = board.get("/dashboard/limits").text
    assert "2 keys throttled" in text
    assert "ann&#34;&lt;b&gt;" in text
    page = press("/limits", "/limits/release", type="email", limit_key=keys[0])
    assert f"Limit key {keys[0]} of email is no longer throttled" in page.text
    assert audited(log_of()) == ["flow.release"]
    (limit,) = [each for each in client.flow.limits() if (each.type, each.queue) == ("email", queue)]
    assert [each.limit_key for each in limit.throttled] == ["bob"]
    press("/limits", "/limits/release", type="email", limit_key="")
    assert [each for each in client.flow.limits() if each.queue == queue] == []
    assert len(worker.fetch(2)) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rate": "fast"}, "expected a rate"),
        ({"rate": "1/s", "burst": "many"}, "is 'many': expected"),
        ({"concurrency": "1.5"}, "is '1.5': expected"),
        ({"type": "Not A Type", "rate": "1/s"}, "must match"),
        ({}, "is required, or a concurrency"),
    ],
)
def test_a_limit_that_is_none_is_refused_with_the_reason(press, fields, words):
    page = press("/limits", "/limits/set", **{"type": "report", **fields})
    assert page.status == 400
    assert words in page.text


@pytest.fixture
def schedule(client, queue) -> str:
    name = f"nightly-{queue}"
    spec = ScheduleSpec(cron_expression="0 3 * * *", type="email", payload=msgspec.Raw(b"{}"), queue=queue)
    client.schedules.put(name, spec)
    return name


def test_a_schedule_is_shown_with_its_next_times(board, schedule):
    assert schedule in Page(board.get("/dashboard/schedules")).text
    text = Page(board.get(f"/dashboard/schedules/{schedule}")).text
    assert "0 3 * * *" in text
    assert text.count("03:00:00.000 UTC") >= 10
    assert Page(board.get("/dashboard/schedules/none-of-that-name")).status == 404


def test_a_schedule_runs_now_once(press, client, schedule, queue, log_of):
    press(f"/schedules/{schedule}", "/run")
    assert [job.status for job in client.jobs(queue=queue).jobs] == ["pending"]
    assert audited(log_of()) == ["schedules.run"]


def test_a_schedule_is_paused_resumed_and_deleted(press, client, schedule):
    press("/schedules", f"/{schedule}/pause")
    assert client.schedules.get(schedule).paused
    press(f"/schedules/{schedule}", "/resume")
    assert not client.schedules.get(schedule).paused
    page = press(f"/schedules/{schedule}", "/delete")
    assert page.path == "/dashboard/schedules"
    assert schedule not in [each.name for each in client.schedules.all()]


def test_a_schedule_that_was_changed_since_it_was_shown_is_left_alone(board, client, schedule, queue):
    address = f"/dashboard/schedules/{schedule}"
    form = Page(board.get(address)).form("/delete").fields
    client.schedules.pause(schedule)
    for act in ("delete", "resume"):
        page = Page(board.post(f"{address}/{act}", data=form))
        assert page.status == 412
        assert "changed in the meantime" in page.text
        assert "reload the page" in page.text
    assert client.schedules.get(schedule).paused


def test_workers_are_made_quiet_and_stopped(press, client, queue, tmp_path):
    process = Worker(client, tmp_path, WORKER_QUEUES=queue, WORKER_LEASE="3s", **HANDLERS)
    try:
        (worker_id,) = (worker.id for worker in client.workers() if worker.queues == [queue])
        assert "fetches no more jobs" in press("/workers", f"/{worker_id}/quiet").text
        wait_until(lambda: (worker_id, "quiet") in {(worker.id, worker.state) for worker in client.workers()})
        assert "finishes its jobs and exits" in press("/workers", f"/{worker_id}/stop").text
        assert process.wait() == 0
    finally:
        process.destroy()


def test_the_stack_of_a_running_job_is_a_link_of_its_page(board, client, running, tmp_path):
    job_id = client.enqueue("hold", {"text": "holding", "until": str(tmp_path / "never")})
    # Else the child may not have come to the handler yet.
    wait_until(lambda: client.job(job_id).progress)
    wait_until(lambda: f"/dashboard/jobs/{job_id}/stack" in Page(board.get(f"/dashboard/jobs/{job_id}")).links)
    page = wait_until(lambda: (page := Page(board.get(f"/dashboard/jobs/{job_id}/stack"))).status == 200 and page)
    assert "in hold" in page.text
    client.cancel(job_id)

"""What handlers print, log and leave to C code and programs, in the log of their own job."""

import pytest

from tests.helpers import wait_until
from tests.worker.processes import result_of


@pytest.fixture(scope="module")
def client(shared):
    return shared.client


def log_of(client, job_id):
    return [line.line for line in client.logs(job_id)]


EVERY_WAY = [
    "printed {n}", "to stderr {n}", "said {n}", "behind Python's back {n}", "from C {n}", "by a program {n}",
    "WARNING monsters: logged {n}", "at the end {n}",
]  # fmt: skip


def test_everything_that_a_job_says_in_any_way_is_in_its_log(client):
    job_id = client.enqueue("chat", {"n": 7})
    assert client.wait(job_id, 20).status == "completed"
    assert sorted(log_of(client, job_id)) == sorted(line.format(n=7) for line in EVERY_WAY)


def test_what_jobs_that_follow_each_other_say_in_any_way_never_mixes(client):
    ids = client.enqueue_many({"type": "chat", "payload": {"n": number}} for number in range(60))
    for number, job_id in enumerate(ids):
        assert client.wait(job_id, 20).status == "completed"
        assert sorted(log_of(client, job_id)) == sorted(line.format(n=number) for line in EVERY_WAY)


@pytest.mark.parametrize("way", ["print", "log", "unfinished"])
def test_tiny_jobs_given_ahead_each_have_their_own_number_only(client, way):
    ids = client.enqueue_many({"type": "say", "payload": {"n": number, "way": way}} for number in range(500))
    views = [client.wait(job_id, 20) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    assert [log_of(client, job_id) for job_id in ids] == [[f"number {number}"] for number in range(500)]


@pytest.mark.parametrize("way", ["C", "program"])
def test_what_c_code_and_programs_print_stays_with_its_job_too(client, way):
    count = 300 if way == "C" else 60
    ids = client.enqueue_many({"type": "say", "payload": {"n": number, "way": way}} for number in range(count))
    views = [client.wait(job_id, 20) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    assert [log_of(client, job_id) for job_id in ids] == [[f"number {number}"] for number in range(count)]


def test_each_attempt_has_its_own_lines(client, tmp_path):
    job_id = client.enqueue("say_and_fail", {"succeed_at": 3}, max_retries=5)
    assert client.wait(job_id, 10).status == "completed"
    lines = [(line.attempt, line.line) for line in client.logs(job_id)]
    assert lines == [(1, "attempt 1"), (2, "attempt 2"), (3, "attempt 3")]


def test_what_a_running_job_says_is_seen_while_it_runs(client):
    job_id = client.enqueue("slow_progress", {"seconds": 30})
    view = wait_until(lambda: (view := client.job(job_id)).progress and view, 20)
    assert bytes(view.progress) == b'{"fraction":0.25,"message":"a quarter"}'
    # It says that after its progress: a report may come between the two.
    wait_until(lambda: log_of(client, job_id) == ["begun"])
    client.cancel(job_id)
    wait_until(lambda: client.job(job_id).status == "cancelled")


def test_progress_stays_with_the_finished_job_or_goes_but_never_shows_another_ones(client):
    ids = client.enqueue_many({"type": "progress", "payload": {"n": number}} for number in range(100))
    for number, job_id in enumerate(ids):
        view = client.wait(job_id, 10)
        assert result_of(view) == number
        assert view.progress is None or f'"{number}"' in bytes(view.progress).decode()


def test_a_thread_left_behind_speaks_into_no_other_jobs_log(client):
    """It prints on while its child runs other jobs: in Python, so that it could be told from them."""
    client.wait(client.enqueue("loud_thread", {"seconds": 1}), 20)
    ids = client.enqueue_many({"type": "say", "payload": {"n": number, "way": "print"}} for number in range(50))
    for number, job_id in enumerate(ids):
        assert client.wait(job_id, 20).status == "completed"
        assert f"number {number}" in log_of(client, job_id)


def test_a_job_reads_nothing_from_its_input(client):
    assert result_of(client.wait(client.enqueue("read_input", {}), 20)) == ""


def test_random_numbers_differ_between_children(client):
    ids = client.enqueue_many({"type": "draw", "payload": {}} for _ in range(40))
    views = [client.wait(job_id, 10) for job_id in ids]
    assert len({result_of(view) for view in views}) == 40

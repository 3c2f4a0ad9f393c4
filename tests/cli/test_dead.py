"""Dead letters and purging."""

import re

import pytest

from gopher.client import Client
from tests.seeding import SeedingWorker

from .conftest import Run, answer_on_a_terminal


@pytest.fixture
def dead(client: Client, worker: SeedingWorker) -> list[str]:
    """Two dead letters: one `email` with a ValueError, then one `math` with a KeyError."""
    ids = [client.enqueue("email", {}, priority="high"), client.enqueue("math", {})]
    for job, error in zip(worker.fetch(2), ("ValueError", "KeyError"), strict=True):
        worker.dead_letter(job, error)
    return ids


def test_lists_dead_letters_with_their_errors(run: Run, dead: list[str]) -> None:
    told = run("list-failed").out
    assert all(job_id in told for job_id in dead)
    assert "KeyError: it broke" in told
    page = run("list-failed", "--error", "KeyError", "--json").json
    assert ([job["job_id"] for job in page["jobs"]], page["total_count"]) == ([dead[1]], 1)


def test_counts_dead_letters_by_group_and_takes_a_group_as_a_filter(run: Run, client: Client, dead: list[str]) -> None:
    told = run("list-failed", "--groups").out.splitlines()
    assert told[0].split()[:5] == ["GROUP", "JOBS", "TYPE", "ERROR", "LOCATION"]
    groups = {view["error"]: view for view in run("list-failed", "--groups", "--json").json["groups"]}
    assert {error: view["count"] for error, view in groups.items()} == {"ValueError": 1, "KeyError": 1}
    group = groups["KeyError"]["group"]
    assert [job["job_id"] for job in run("list-failed", "--group", group, "--json").json["jobs"]] == [dead[1]]
    assert run("retry-all", "--group", group).out == "1 job pending again\n"
    assert [client.job(job_id).status for job_id in dead] == ["failed", "pending"]


def test_groups_are_not_filtered(run: Run) -> None:
    answer = run("list-failed", "--groups", "--type", "math")
    assert (answer.code, "--groups can be combined with" in answer.err) == (2, True)


def test_no_dead_letters_is_no_error(run: Run) -> None:
    answer = run("list-failed")
    assert (answer.code, answer.out, answer.err) == (0, "", "no dead letters\n")


def test_retries_one_and_keeps_its_id(run: Run, client: Client, dead: list[str]) -> None:
    assert run("retry", "-i", dead[0]).out == f"{dead[0]} is pending again\n"
    view = client.job(dead[0])
    assert (view.status, view.attempts, len(view.history)) == ("pending", 0, 1)


def test_retries_what_it_can_and_fails_for_the_rest(run: Run, client: Client, dead: list[str]) -> None:
    answer = run("retry", "-i", "nope", "-i", dead[0], "--json")
    assert answer.code == 1
    assert answer.json == {"count": 1, "jobs": [dead[0]]}
    assert "there is no job nope" in answer.err


def test_retries_all_that_fit(run: Run, client: Client, dead: list[str]) -> None:
    assert run("retry-all", "--type", "math", "--json").json == {"count": 1}
    assert [client.job(job_id).status for job_id in dead] == ["failed", "pending"]
    assert run("retry-all").out == "1 job pending again\n"


def test_retries_gradually_and_reports_how_to_follow_and_to_stop_it(run: Run, client: Client, dead: list[str]) -> None:
    told = run("retry-all", "--canary", "1", "--rate", "5/s")
    redrive_id = client.dead_letters.redrives()[0].redrive_id
    assert "2 jobs will be retried; see progress with `gopherctl redrives`" in told.out
    assert f"gopherctl redrives stop {redrive_id}" in told.out
    assert "no scheduler is running" in told.err
    client.server.run(client.server.queue("default").continue_redrives())
    row = run("redrives").out.splitlines()[1].split()
    assert row[:7] == [redrive_id, "default", "canary", "1", "2", "1", "5/s"]
    assert run("redrives", "stop", redrive_id).out == f"{redrive_id} is stopped\n"
    assert run("redrives", "stop", redrive_id).code == 1
    assert run("redrives", "--json").json["redrives"][0]["status"] == "stopped"


def test_the_old_name_of_redrives_answers_as_before_with_a_warning(run: Run, client: Client, dead: list[str]) -> None:
    redrive_id = run("retry-all", "--rate", "1/h", "--json").json["retry_id"]
    listed, new = run("retries", "--json"), run("redrives", "--json").json["redrives"]
    assert listed.json == {"retries": [{"retry_id": each.pop("redrive_id"), **each} for each in new]}
    assert run("retries", "list", "--json").json == listed.json
    stopped = run("retries", "stop", redrive_id, "--json")
    assert stopped.json == {"retry_id": redrive_id, "stopped": True}
    for answer in (listed, stopped):
        assert (answer.code, answer.err.count("`gopherctl retries` is deprecated: use `gopherctl redrives`")) == (0, 1)
    assert "retries" not in re.findall(r"^  (\S+)", run("--help").out, re.MULTILINE)


def test_no_redrive_starts_without_matches(run: Run, dead: list[str]) -> None:
    assert run("retry-all", "--type", "report", "--rate", "1/s").out == "no matching dead letters\n"
    answer = run("redrives", "stop", "nothing")
    assert (answer.code, "gopherctl redrives" in answer.err) == (1, True)


def test_deletes_dead_letters_only_when_told_so(run: Run, client: Client, dead: list[str]) -> None:
    refused = run("discard", "-i", dead[0])
    assert refused.code == 2
    assert client.job(dead[0]).status == "failed"
    assert run("discard", "-i", dead[0], "--yes", "--json").json["count"] == 1
    assert run("job", dead[0]).code == 1


def test_deletes_only_dead_letters(run: Run, client: Client) -> None:
    job_id = client.enqueue("math", {})
    answer = run("discard", "-i", job_id, "-y")
    assert answer.code == 1
    assert "only failed jobs can be discarded" in answer.err
    assert client.job(job_id).status == "pending"


@pytest.mark.parametrize("place", ["main", "scheduled", "retrying", "failed"])
def test_purges_one_state_and_reports_how_many(
    run: Run, client: Client, worker: SeedingWorker, dead: list[str], place: str
) -> None:
    client.enqueue("math", {})
    worker.retry(worker.fetch()[0])
    client.enqueue("math", {}, delay="1h")
    client.enqueue("math", {})
    expected = {"main": 1, "scheduled": 1, "retrying": 1, "failed": 2}
    answer = run("purge", "-q", place, "--yes", "--json")
    assert answer.json == {
        "queue": "default",
        "state": {"main": "pending"}.get(place, place),
        "count": expected[place],
    }
    left = client.stats().queues["default"]
    found = {"main": left.waiting, "scheduled": left.scheduled, "retrying": left.retrying, "failed": left.failed}
    assert found == {**expected, place: 0}


def test_purges_only_the_dead_letters_that_fit(run: Run, client: Client, dead: list[str]) -> None:
    answer = run("purge", "-q", "failed", "--error", "KeyError", "--yes", "--json")
    assert answer.json == {"queue": "default", "state": "failed", "count": 1}
    assert client.inspector.state("default", dead[0]) == "failed"


def test_filters_of_dead_letters_do_not_go_with_other_states(run: Run, client: Client) -> None:
    client.enqueue("math", {})
    answer = run("purge", "-q", "main", "--type", "email", "--yes")
    assert (answer.code, "require -q failed" in answer.err) == (2, True)
    assert client.stats().queue_size == 1


def test_does_not_purge_unasked(run: Run, client: Client) -> None:
    client.enqueue("math", {})
    assert run("purge", "-q", "main").code == 2
    assert client.stats().queue_size == 1


def test_purging_a_queue_that_is_not_there_names_those_that_are(run: Run, client: Client) -> None:
    client.enqueue("math", {})
    answer = run("purge", "-q", "main", "--queue", "defualt", "-y")
    assert answer.code == 1
    assert "there is no queue 'defualt'; queues: default" in answer.err


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_asks_on_a_terminal_and_does_as_it_is_told(
    environ: dict[str, str], client: Client, answer: str, code: int, left: int
) -> None:
    client.enqueue("math", {})
    told = answer_on_a_terminal(environ, answer, "purge", "-q", "main")
    assert "Permanently delete 1 pending job of queue 'default'? [y/N]" in told.out
    assert told.code == code
    assert client.stats().queue_size == left

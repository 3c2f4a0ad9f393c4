"""Schedules from the command line."""

from .conftest import Run


def test_adds_shows_pauses_runs_and_deletes_a_schedule(run: Run) -> None:
    add = ("schedules", "add", "nightly", "--cron", "0 0 * * *", "--tz", "Europe/Berlin", "-t", "cleanup")
    assert run(*add).out.startswith("created: next at ")
    assert run(*add).out.startswith("unchanged: next at ")
    shown = run("schedules", "show", "nightly", "--json").json
    assert (shown["cron_expression"], shown["timezone"], shown["type"]) == ("0 0 * * *", "Europe/Berlin", "cleanup")
    assert "nightly" in run("schedules").out
    assert run("schedules", "pause", "nightly", "--json").json["next_run_at"] is None
    assert run("schedules", "resume", "nightly", "--json").json["next_run_at"] is not None
    job_id = run("schedules", "run", "nightly", "--json").json["job_id"]
    assert run("job", job_id, "--json").json["type"] == "cleanup"
    assert run("schedules", "delete", "nightly", "--yes").code == 0
    assert run("schedules", "show", "nightly").code == 1


def test_previews_an_expression_with_marks(run: Run) -> None:
    times = run("schedules", "preview", "--cron", "30 2 29 3 *", "--tz", "Europe/Berlin", "-n", "9", "--json").json[
        "times"
    ]
    assert len(times) == 9
    # 29 March is the day of the change in 2026 and 2037 only.
    assert {row["mark"] for row in times} <= {"", "gap"}


def test_refuses_an_expression_that_never_fires(run: Run) -> None:
    answer = run("schedules", "add", "never", "--cron", "0 0 31 2 *", "-t", "cleanup")
    assert answer.code == 2
    assert "never fires" in answer.err


def test_submits_a_recurring_job(run: Run) -> None:
    answer = run("submit", "-t", "cleanup", "--cron", "@hourly", "--name", "tidy")
    assert answer.out.startswith("schedule tidy created: next at ")
    assert run("submit", "-t", "cleanup", "--tz", "UTC").code == 2


ADD = ("schedules", "add", "nightly", "--cron", "0 0 * * *", "-t", "cleanup")


def test_changes_only_the_version_that_was_seen(run: Run) -> None:
    version = run(*ADD, "--new", "--json").json["version"]
    assert f"version          {version}" in run("schedules", "show", "nightly").out
    answer = run(*ADD, "--new")
    assert (answer.code, f"'nightly' exists already, with version {version}" in answer.err) == (1, True)
    assert run(*ADD, "--priority", "high", "--if-version", version).out.startswith("replaced")
    for act in (("pause",), ("resume",), ("delete", "--yes")):
        answer = run("schedules", act[0], "nightly", *act[1:], "--if-version", version)
        if act[0] != "resume":
            assert (answer.code, "`gopherctl schedules`" in answer.err) == (1, True)
    version = run("schedules", "show", "nightly", "--json").json["version"]
    assert run("schedules", "delete", "nightly", "--yes", "--if-version", version).code == 0
    assert run(*ADD, "--new", "--if-version", "1").code == 2


def test_lists_page_by_page(run: Run) -> None:
    for number in range(3):
        run("schedules", "add", f"s{number}", *ADD[3:])
    assert run("schedules", "list", "--json").json.keys() == {"schedules"}
    page = run("schedules", "list", "--limit", "2", "--json").json
    assert [row["name"] for row in page["schedules"]] == ["s0", "s1"]
    rest = run("schedules", "list", "--cursor", page["next_cursor"])
    assert rest.out.splitlines()[1].startswith("s2")
    assert f"--cursor {page['next_cursor']}" in run("schedules", "list", "--limit", "2").err

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

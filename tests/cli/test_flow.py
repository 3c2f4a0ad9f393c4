"""Limits, pauses, `why`, and the options of `submit` that say when and with whom a job may run."""

from datetime import datetime, timedelta, timezone

from gopher.client import Client

from .conftest import Run


def test_sets_lists_and_clears_a_limit(run: Run, client: Client) -> None:
    client.enqueue("email", {})
    assert run("limits", "set", "email", "--rate", "600/m", "--burst", "5", "--concurrency", "2").out == (
        "email: 10/s (burst 5), concurrency 2\n"
    )
    listed = run("limits", "list", "--json").json["limits"]
    assert [(view["type"], view["rate"], view["concurrency"]) for view in listed] == [("email", "10/s", 2)]
    assert "10/s" in run("limits").out
    assert run("limits", "clear", "email").code == 0
    assert run("limits", "list", "--json").json == {"limits": []}
    assert run("limits", "clear", "email").code == 1


def test_sets_a_limit_for_each_limit_key(run: Run, client: Client) -> None:
    client.enqueue("email", {})
    told = run("limits", "set", "email", "--rate", "600/m", "--per-key", "--json").json
    assert told == {"type": "email", "rate": "10/s", "burst": 10.0, "concurrency": None, "per_key": True}
    told = run("limits", "set", "email", "--rate", "1/s", "--per-key").out
    assert told == "email: 1/s (burst 1), for each limit key\n"
    assert "yes" in run("limits").out
    run("limits", "set", "email", "--rate", "1/s")
    assert [(view.rate, view.per_key) for view in client.flow.limits()] == [("1/s", False)]


def test_a_limit_that_can_not_be_read_is_refused_with_an_example(run: Run) -> None:
    answer = run("limits", "set", "email", "--rate", "fast")
    assert answer.code == 2
    assert "10/s" in answer.err


def test_pauses_and_resumes_a_queue_and_a_type(run: Run, client: Client) -> None:
    job_id = client.enqueue("email", {})
    assert run("pause", "--queue", "default").out == "queue default is paused\n"
    assert run("pause", "--type", "email").out == "type email is paused\n"
    reasons = run("why", job_id, "--json").json["reasons"]
    assert [reason["code"] for reason in reasons[:2]] == ["queue_paused", "type_paused"]
    assert run("resume", "--queue", "default").out == "queue default is resumed\n"
    assert run("resume", "--type", "email").out == "type email is resumed\n"
    assert run("why", job_id, "--json").json["reasons"][0]["code"] == "no_worker"
    assert run("pause").code == 2


def test_why_of_an_unknown_job_says_so(run: Run) -> None:
    assert run("why", "01a20cfe-d930-76df-bb12-fc8e5b5fed66").code == 1


def test_a_unique_key_answers_with_the_first_job(run: Run) -> None:
    prime = ("submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}', "--unique-key", "k", "--json")
    first, second = run(*prime).json, run(*prime).json
    assert second["job_id"] == first["job_id"]
    assert second["duplicate"] is True


def test_a_job_can_wait_for_another(run: Run, client: Client) -> None:
    prime = ("submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}', "--json")
    parent = run(*prime).json["job_id"]
    child = run(*prime, "--after", parent).json
    assert child["status"] == "scheduled"
    assert run("why", child["job_id"], "--json").json["reasons"][0]["code"] == "waits_for_jobs"


def test_a_dry_run_shows_the_effect_and_stores_nothing(run: Run, client: Client) -> None:
    answer = run("submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}', "-r", "2", "--dry-run", "--json")
    assert answer.json["retry_delays"] == [1.0, 2.0]
    assert client.jobs().jobs == []


def test_options_for_times_and_dependencies_reach_the_job(run: Run, client: Client) -> None:
    prime = ("submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}', "--json")
    parent = run(*prime).json["job_id"]
    expires = datetime.now(timezone(timedelta(hours=1))).replace(microsecond=0) + timedelta(days=60)
    job_id = run(
        *(*prime, "--unique-key", "k", "--unique-for", "5m", "--limit-key", "tenant", "--retry-for", "2h"),
        *("--expires-at", expires.isoformat(), "--after", parent, "--on-parent-failure", "run"),
    ).json["job_id"]
    keys, redis = client.server.keys.for_queue("default"), client.server.client
    record = {name.decode(): value.decode() for name, value in redis.hgetall(keys.job(job_id)).items()}
    assert (record["unique"], record["bucket"]) == ("k", "math/tenant")
    assert (record["parents"], record["on_parent_failure"]) == (parent, "run")
    assert record["expires"] == f"{expires.timestamp():.0f}000"
    assert '"retry_for":7200' in record["envelope"]
    assert 0 < redis.pttl(f"{keys.prefix}unique:k") <= 300_000


def test_an_option_that_is_invalid_is_named_as_it_was_typed(run: Run) -> None:
    prime = ("submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}')
    for option, value in (("--unique-for", "1m"), ("--expires-at", "2001-01-01T00:00:00Z"), ("--after", "7")):
        answer = run(*prime, option, value)
        assert answer.code == 2
        assert option in answer.err

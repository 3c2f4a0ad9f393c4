"""`gopherctl` over the server itself leaves entries in the audit trail like everybody, and shows them."""

import json
import os
import pwd
import socket

import msgspec
import pytest

from gopher.client import Client
from gopher.jobs.schedule import ScheduleSpec
from tests.cli.conftest import Run
from tests.seeding import SeedingWorker

EMAIL = '{"to": "a@example.com", "subject": "x", "body": "y"}'


@pytest.fixture
def job_id(client: Client) -> str:
    return client.enqueue("email", {}, queue="mail", delay="1h")


@pytest.fixture
def dead(client: Client, worker: SeedingWorker) -> str:
    job_id = client.enqueue("email", {})
    worker.dead_letter(worker.fetch()[0])
    return job_id


@pytest.fixture
def redrive(client: Client, dead: str) -> str:
    return client.dead_letters.retry_gradually(rate="1/h").redrive_id


@pytest.fixture
def schedule(client: Client) -> str:
    client.schedules.put("nightly", ScheduleSpec("0 3 1 1 *", "email", msgspec.Raw(b"{}")))
    return "nightly"


@pytest.mark.parametrize(
    ("needs", "command", "action", "on"),
    [
        ("", "pause --queue mail", "flow.pause_queue", {"queue": "mail"}),
        ("", "pause --type email", "flow.pause_type", {"type": "email"}),
        ("", "limits set email --rate 10/s", "flow.set_limit", {"type": "email", "rate": "10/s", "per_key": False}),
        ("job_id", "cancel {}", "jobs.cancel", {"job_id": "{}"}),
        ("job_id", "purge -y -q scheduled --queue mail", "queues.purge", {"queue": "mail", "state": "scheduled"}),
        ("dead", "retry -i {}", "dead_letters.retry", {"job_id": "{}"}),
        ("dead", "discard -y -i {}", "dead_letters.discard", {"job_id": "{}"}),
        ("dead", "retry-all", "dead_letters.retry_all", {}),
        ("dead", "retry-all --rate 1/h", "dead_letters.retry_gradually", {"rate": "1/h"}),
        ("redrive", "redrives stop {}", "dead_letters.stop_redrive", {"redrive_id": "{}"}),
        ("schedule", "schedules pause {}", "schedules.pause", {"name": "{}"}),
        ("schedule", "schedules run {}", "schedules.run", {"name": "{}"}),
        ("schedule", "schedules delete -y {}", "schedules.delete", {"name": "{}"}),
    ],
)
def test_a_command_that_changes_something_is_one_entry(
    run: Run, client: Client, request: pytest.FixtureRequest, needs: str, command: str, action: str, on: dict[str, str]
) -> None:
    made = request.getfixturevalue(needs) if needs else ""
    before = len(client.audit().entries)
    answer = run(*command.format(made).split())
    assert answer.code == 0, answer.err
    entry, *others = client.audit().entries
    assert len(others) == before
    assert (entry.through, entry.who) == ("cli", pwd.getpwuid(os.getuid()).pw_name)
    assert (entry.address, entry.result) == (socket.gethostname(), "done")
    assert (entry.action, entry.on) == (
        action,
        {name: value.format(made) if isinstance(value, str) else value for name, value in on.items()},
    )
    assert "audit" not in answer.out + answer.err


def test_submitting_is_an_entry_only_for_a_type_that_needs_admin(run: Run, client: Client) -> None:
    run("submit", "-t", "email", "-p", EMAIL)
    assert client.audit().entries == []
    answer = run("submit", "-t", "cleanup", "-p", "{}", "--delay", "1h")
    (entry,) = client.audit().entries
    assert (entry.action, entry.on, entry.details) == ("jobs.submit", {"type": "cleanup"}, answer.out.strip())


def test_shows_the_trail_as_a_table_page_by_page_and_as_json_lines(run: Run, client: Client) -> None:
    for number in range(3):
        client.flow.pause_queue(f"queue-{number}")
    shown = run("audit", "--limit", "2")
    assert shown.out.splitlines()[0].split() == "TIME (UTC) WHO THROUGH ADDRESS ACTION RESULT COUNT ON".split()
    assert "queue queue-2" in shown.out
    cursor = shown.err.strip().removeprefix("next page: --cursor ")
    page = run("audit", "--limit", "2", "--cursor", cursor, "--json").json
    assert [entry["on"] for entry in page["entries"]] == [{"queue": "queue-0"}]
    lines = [json.loads(line) for line in run("audit", "--jsonl").out.splitlines()]
    assert [line["on"]["queue"] for line in lines] == ["queue-2", "queue-1", "queue-0"]
    assert run("audit", "--result", "denied").err.strip() == "no matching entries"
    assert run("audit", "--cursor", "x").code == 2


def test_an_entry_shows_no_control_characters(run: Run, client: Client) -> None:
    client.server.client.xadd(client.server.keys.audit, {"event": json.dumps(
        {"who": "\x1b[31mops\u202e", "through": "api", "action": "x", "on": {"queue": "a\nb"}}
    )})  # fmt: skip
    shown = run("audit")
    assert "\\x1b[31mops\\u202e" in shown.out
    assert "\x1b" not in shown.out

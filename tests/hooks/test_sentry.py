"""Jobs' errors in Sentry: the SDK itself, with a transport that writes its events down."""

import json

import pytest

from gopher.errors import ConfigurationError
from gopher.integrations.sentry import SentryMiddleware
from tests.helpers import wait_until
from tests.worker.processes import result_of


class Reporting:
    def __init__(self, worker, notes):
        self.client, self._notes = worker.client, notes

    def run(self, job_type, payload=None, **options):
        return self.client.wait(self.client.enqueue(job_type, payload or {}, **{"max_retries": 0, **options}), 30)

    def events(self):
        # A line without its end is still being written.
        lines = self._notes.read_text().splitlines(keepends=True) if self._notes.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture
def reporting(client, start_worker, tmp_path):
    def start(report):
        notes = tmp_path / "events"
        worker = start_worker(
            client,
            GOPHER_HANDLERS="tests.hooks.sentry_handlers",
            NOTES=str(notes),
            REPORT=report,
            WORKER_CONCURRENCY="1",
            # There is no scheduler: the worker promotes what is due once per lease.
            WORKER_LEASE="3s",
        )
        return Reporting(worker, notes)

    return start


def test_a_dead_job_is_one_event_with_the_job_and_the_users_frames(reporting):
    sentry = reporting("dead")
    before = result_of(sentry.run("pid"))
    view = sentry.run("pay", {"amount": 7})
    wait_until(sentry.events)
    [event] = sentry.events()
    assert (event["release"], event["transaction"]) == ("shop@7", "pay")
    tags = {name.removeprefix("gopher."): value for name, value in event["tags"].items()}
    assert tags == {
        "job_id": view.job_id,
        "job_type": "pay",
        "queue": "default",
        "attempt": "1",
        "outcome": "failed",
        "dead": "true",
    }
    assert event["contexts"]["gopher"]["max_retries"] == 0
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("LookupError", "no account for 7")
    assert exception["stacktrace"]["frames"][-1]["function"] == "pay"
    assert exception["stacktrace"]["frames"][-1]["vars"]["amount"] == "7"
    assert [each["message"] for each in event["breadcrumbs"]["values"]] == ["paying 7"]
    # The SDK's own thread does not cost the child.
    assert result_of(sentry.run("pid")) == before


def test_what_is_repeated_is_no_event_until_it_is_dead(reporting):
    sentry = reporting("dead")
    sentry.run("again", max_retries=2)
    wait_until(sentry.events)
    assert [event["tags"]["gopher.attempt"] for event in sentry.events()] == ["3"]


def test_each_failed_attempt_is_an_event_if_asked_for(reporting):
    sentry = reporting("failed")
    sentry.run("again", max_retries=2)
    wait_until(lambda: len(sentry.events()) == 3)
    told = [(event["tags"]["gopher.attempt"], event["tags"]["gopher.dead"]) for event in sentry.events()]
    assert told == [("1", "false"), ("2", "false"), ("3", "true")]


def test_a_child_that_dies_is_an_event_too(reporting):
    sentry = reporting("dead")
    view = sentry.run("dies")
    wait_until(sentry.events)
    [event] = sentry.events()
    assert (event["release"], event["level"], event["tags"]["gopher.job_id"]) == ("shop@7", "error", view.job_id)
    [exception] = event["exception"]["values"]
    assert exception["type"] == "ChildCrashed"
    assert "SIGSEGV" in exception["value"]
    assert event["tags"]["gopher.outcome"] == "crashed"


def test_what_a_handler_captures_carries_its_job_and_nothing_of_the_one_before(reporting):
    sentry = reporting("dead")
    sentry.run("pay", {"amount": 7})
    view = sentry.run("says")
    assert result_of(view) == "done"
    wait_until(lambda: len(sentry.events()) == 2)
    event = sentry.events()[1]
    assert (event["message"], event["tags"]["gopher.job_id"], event["transaction"]) == ("half way", view.job_id, "says")
    assert not event.get("breadcrumbs", {}).get("values")


def test_another_report_is_refused():
    with pytest.raises(ConfigurationError, match='must be "dead" or "failed"'):
        SentryMiddleware(report="all")

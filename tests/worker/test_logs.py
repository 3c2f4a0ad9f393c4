"""What a worker writes: its own lines and those of its handlers, with the fields by which they are found."""

import json
import logging

import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.telemetry import logs
from gopher.telemetry.trace_context import REQUEST_ID, passing_on
from tests.helpers import wait_until
from tests.in_process import logging_kept
from tests.worker.logging_handlers import SECRET

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CARRIER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", REQUEST_ID: "request-1"}


def run(client: Client, **payload):
    with passing_on(CARRIER):
        job_id = client.enqueue("talkative", {"secret": SECRET, **payload})
    return client.wait(job_id, 10)


def events(worker):
    return [json.loads(line) for line in worker.log.splitlines()]


@pytest.fixture
def worker(start_worker):
    return start_worker(GOPHER_HANDLERS="tests.worker.logging_handlers")


def test_what_a_handler_logs_is_in_the_jobs_log_as_plain_lines(client, worker):
    lines = [each.line for each in client.logs(run(client).job_id)]
    assert lines[:6] == [
        "INFO shop: an order of 7",
        "WARNING shop: two",
        "lines",
        r"WARNING shop.events: out of stock article='pear\x1b[31m' order=7",
        "ERROR shop: it is missing",
        "Traceback (most recent call last):",
    ]
    assert lines[-1] == "KeyError: 'no such pear'"


def test_the_workers_log_has_it_too_with_the_fields_of_the_job(client, worker):
    job = run(client)
    found = [event for event in events(worker) if event.get("job_id") == job.job_id]
    assert [event["event"] for event in found] == ["an order of 7", "two\nlines", "out of stock", "it is missing"]
    wanted = {
        "job_id": job.job_id,
        "job_type": "talkative",
        "queue": "default",
        "attempt": 1,
        "worker": job.worker,
        "trace_id": TRACE,
        "request_id": "request-1",
    }
    for event in found:
        assert event.items() >= wanted.items()
    assert (found[2]["order"], found[2]["level"], found[2]["logger"]) == (7, "warning", "shop.events")
    assert found[3]["exception"].endswith("KeyError: 'no such pear'")


def test_a_job_that_dies_is_an_error_with_the_same_fields(client, worker):
    job = run(client, fail=True)
    line = wait_until(
        lambda: next((event for event in events(worker) if event["event"] == "job failed"), None), 5, "the line"
    )
    assert (line["level"], line["error_type"]) == ("error", "ValueError")
    assert line.items() >= {
        "job_id": job.job_id, "job_type": "talkative", "queue": "default", "attempt": 1, "worker": job.worker,
        "trace_id": TRACE, "request_id": "request-1",
    }.items()  # fmt: skip


def test_no_line_holds_a_payload(client, worker):
    run(client)
    run(client, fail=True)
    assert worker.stop() == 0
    assert SECRET not in worker.log


def test_a_successful_job_is_a_line_for_those_who_want_to_know(client, start_worker):
    worker = start_worker(GOPHER_HANDLERS="tests.worker.logging_handlers", LOG_LEVEL="debug")
    job = run(client)
    assert worker.stop() == 0
    (line,) = [event for event in events(worker) if event["event"] == "job completed"]
    assert (line["job_id"], line["level"]) == (job.job_id, "debug")
    assert "nobody wants to know" in worker.log


def test_for_people_a_line_is_a_line_whatever_it_says(client, start_worker):
    worker = start_worker(GOPHER_HANDLERS="tests.worker.logging_handlers", LOG_FORMAT="console")
    job = run(client)
    assert worker.stop() == 0
    lines = [line for line in worker.log.splitlines() if "two" in line]
    assert len(lines) == 1
    assert "two\\nlines" in lines[0]
    assert f"job_id={job.job_id}" in lines[0]
    assert "\x1b" not in worker.log


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_our_own_lines_are_one_each_too(capfd, log_format):
    with logging_kept():
        logs.configure(Settings(log_format=log_format))
        logs.get_logger("test").info("two\nlines", name="a\nb\x1b[2J", rtl="\u202egnp")
        logging.getLogger("library").warning("more\r\nlines")
    first, second, *rest = capfd.readouterr().err.splitlines()
    assert rest == []
    assert "two\\nlines" in first
    assert "more\\r\\nlines" in second
    assert not {"\x1b", "\u202e"} & set(first)


def test_with_logging_off_the_handlers_module_configures_it(client, start_worker):
    worker = start_worker(GOPHER_HANDLERS="tests.worker.hosted_handlers", GOPHER_LOGGING="off")
    job = client.wait(client.enqueue("hosted", {}), 10)
    assert [each.line for each in client.logs(job.job_id)] == ["INFO shop: an order of 7", "printed"]
    assert "HOST INFO shop an order of 7\n" in worker.log
    worker.stop()
    assert "HOST INFO gopher.worker " in worker.log
    assert all(line.startswith("HOST ") for line in worker.log.splitlines())

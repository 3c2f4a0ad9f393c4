"""Traces as a collector sees them: from the caller's span through API and queue to what the handler does."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from gopher.cli.processes import gopherctl
from opentelemetry.sdk.trace import TracerProvider

from gopher.telemetry.trace_context import passing_on
from tests.helpers import wait_until
from tests.worker.processes import Process, Worker, where

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"


def one(spans, **wanted):
    found = [span for span in spans if all(getattr(span, name) == value for name, value in wanted.items())]
    assert len(found) == 1, [(span.name, span.kind, span.status) for span in spans]
    return found[0]


def arrived(receiver, trace_id, **wanted):
    """Return the one span of a trace that is like this, once it is there: processes export when they see fit."""
    fitting = lambda: [span for span in receiver.of_trace(trace_id) if wanted.items() <= vars(span).items()]  # noqa: E731
    wait_until(fitting, 30, f"a span with {wanted}")
    return one(fitting())


def attempts(receiver, job_id, count):
    """Return the spans of a job's attempts once they have all arrived."""
    wait_until(lambda: len(receiver.of_job(job_id)) >= count, 30, f"{count} spans of attempts")
    spans = receiver.of_job(job_id)
    assert len(spans) == count
    return spans


def result_of(api, job_id):
    """Return the result of a job once it is there: the span of its attempt may arrive before."""
    return wait_until(lambda: api.get(f"/api/v1/jobs/{job_id}").json().get("result"), 30, "the result")


def test_a_trace_goes_from_the_callers_span_to_what_the_handler_does(api, worker, receiver):
    answer = api.post("/api/v1/jobs", json={"type": "fine", "payload": {}}, headers={"traceparent": PARENT})
    (attempt,) = attempts(receiver, answer.json()["job_id"], 1)
    wait_until(lambda: len(receiver.of_trace(TRACE)) == 4, 10, "the whole trace")
    request = one(receiver.of_trace(TRACE), kind="server")
    enqueue = one(receiver.of_trace(TRACE), kind="producer")
    (inner,) = receiver.children(attempt)
    assert (request.parent_id, request.name, request.service) == (CALLER, "POST /api/v1/jobs", "gopher-api")
    assert (enqueue.parent_id, enqueue.name, enqueue.service) == (request.span_id, "enqueue default", "gopher-api")
    assert (attempt.parent_id, attempt.name, attempt.service) == (enqueue.span_id, "process default", "gopher-worker")
    assert (inner.name, inner.scope, inner.service) == ("look something up", "shop", "gopher-worker")
    assert inner.attributes == {"answer": 42}
    assert attempt.started <= inner.started <= inner.ended <= attempt.ended
    assert result_of(api, answer.json()["job_id"]) == TRACE


def test_spans_describe_what_the_conventions_for_messaging_ask_for(api, client, worker, receiver):
    job_id = api.post("/api/v1/jobs", json={"type": "fine", "payload": {"a": 1}, "priority": "high"}).json()["job_id"]
    (attempt,) = attempts(receiver, job_id, 1)
    token = client.job(job_id).worker
    assert attempt.attributes.pop("gopher.job.waited") >= 0
    assert attempt.attributes == {
        "messaging.system": "gopher",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": job_id,
        "messaging.message.body.size": len('{"a":1}'),
        "messaging.client.id": token,
        "gopher.job.type": "fine",
        "gopher.job.priority": "high",
        "gopher.job.attempt": 1,
        "gopher.job.max_retries": 3,
        "gopher.job.outcome": "completed",
    }
    assert attempt.status == "unset"
    assert "service.version" in attempt.resource
    enqueue = arrived(receiver, attempt.trace_id, kind="producer")
    assert enqueue.attributes == {
        "messaging.system": "gopher",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": job_id,
        "gopher.job.type": "fine",
        "gopher.job.priority": "high",
    }


def test_each_attempt_has_a_span_that_links_to_the_one_before(api, worker, scheduler, receiver):
    headers = {"traceparent": f"00-{'a' * 32}-{CALLER}-01"}
    job_id = api.post("/api/v1/jobs", json={"type": "flaky", "payload": {}}, headers=headers).json()["job_id"]
    first, second, third = attempts(receiver, job_id, 3)
    assert {span.trace_id for span in (first, second, third)} == {"a" * 32}
    assert {span.parent_id for span in (first, second, third)} == {first.parent_id}
    assert first.links == []
    assert second.links == [(first.trace_id, first.span_id)]
    assert third.links == [(second.trace_id, second.span_id)]
    assert [span.status for span in (first, second, third)] == ["error", "error", "unset"]
    assert first.message == "not yet: attempt 1"
    assert first.attributes["error.type"] == "ValueError"
    ((name, exception),) = first.events
    assert name == "exception"
    assert (exception["exception.type"], exception["exception.message"]) == ("ValueError", "not yet: attempt 1")
    assert "handlers.py" in exception["exception.stacktrace"]
    inner = arrived(receiver, second.trace_id, parent_id=second.span_id)
    assert (inner.name, inner.status) == ("try it", "error")


def test_what_a_handler_submits_belongs_to_its_trace(api, worker, receiver):
    job_id = api.post("/api/v1/jobs", json={"type": "chain", "payload": {}}).json()["job_id"]
    (parent,) = attempts(receiver, job_id, 1)
    (child,) = attempts(receiver, result_of(api, job_id), 1)
    enqueue = arrived(receiver, parent.trace_id, parent_id=parent.span_id)
    assert (enqueue.kind, enqueue.service) == ("producer", "gopher-worker")
    assert (child.trace_id, child.parent_id) == (parent.trace_id, enqueue.span_id)


def test_a_batch_is_one_span_and_jobs_that_wait_keep_their_trace(api, worker, scheduler, receiver):
    jobs = [
        {"type": "fine", "payload": {}},
        {"type": "fine", "payload": {}, "after": [0]},
        {"type": "fine", "payload": {}, "delay": "300ms"},
    ]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs}).json()
    spans = [attempts(receiver, job["job_id"], 1)[0] for job in answer["jobs"]]
    enqueue = arrived(receiver, spans[0].trace_id, kind="producer")
    assert enqueue.attributes["messaging.batch.message_count"] == 3
    assert {span.parent_id for span in spans} == {enqueue.span_id}


def test_a_tick_of_a_schedule_begins_a_trace(api, client, worker, scheduler, receiver):
    body = {"cron_expression": "* * * * * *", "type": "fine", "payload": {}}
    assert api.put("/api/v1/schedules/often", json=body).status_code == 201
    job_id = wait_until(lambda: api.get("/api/v1/schedules/often").json()["last_job_id"], 10, "a tick")
    api.delete("/api/v1/schedules/often")
    (attempt,) = attempts(receiver, job_id, 1)
    wait_until(lambda: len(receiver.of_trace(attempt.trace_id)) == 3, 10, "its trace")
    tick = one(receiver.of_trace(attempt.trace_id), kind="producer")
    assert (tick.service, tick.parent_id, tick.span_id) == ("gopher-scheduler", "", attempt.parent_id)
    assert tick.attributes["gopher.schedule"] == "often"


def test_a_snooze_is_no_error(client, worker, scheduler, receiver, tmp_path):
    job_id = client.enqueue("napping", {"file": str(tmp_path / "there")})
    first, second = attempts(receiver, job_id, 2)
    assert (first.status, first.attributes["gopher.job.outcome"]) == ("unset", "snoozed")
    assert second.attributes["gopher.job.outcome"] == "completed"


@pytest.mark.parametrize(
    ("how", "outcome", "error_type"),
    [
        ("exit", "crashed", "ChildCrashed"),
        ("kill", "crashed", "ChildCrashed"),
        ("hang", "timeout", "Timeout"),
        ("soft", "timeout", "SoftTimeout"),
        ("closes", "crashed", "ChildCrashed"),
    ],
)
def test_an_attempt_that_is_killed_has_its_span_too(client, worker, receiver, how, outcome, error_type):
    with passing_on({"traceparent": f"00-{'b' * 30}{len(how):02x}-{CALLER}-01"}):
        job_id = client.enqueue("dying", {"how": how}, timeout="300ms" if outcome == "timeout" else "30s")
    (attempt,) = attempts(receiver, job_id, 1)
    assert attempt.status == "error"
    assert (attempt.attributes["gopher.job.outcome"], attempt.attributes["error.type"]) == (outcome, error_type)
    assert attempt.parent_id == CALLER
    assert attempt.events[0][1]["exception.message"] == attempt.message != ""
    job = client.wait(job_id, 10)
    assert abs((attempt.ended - attempt.started) / 1e9 - job.duration) < 5
    # What it traced before that was sent when it ended, and finds its parent.
    inner = arrived(receiver, attempt.trace_id, parent_id=attempt.span_id)
    assert inner.name == "last words"
    # The worker heard of the attempt's beginning while the child went on.
    assert (attempt.started - inner.started) / 1e9 < 5


def test_jobs_without_a_trace_have_one_of_their_own_and_retries_share_it(client, worker, scheduler, receiver):
    job_id = client.enqueue("flaky", {})
    first, second, third = attempts(receiver, job_id, 3)
    assert len({span.trace_id for span in (first, second, third)}) == 1
    assert first.parent_id == ""
    assert second.links == [(first.trace_id, first.span_id)]


def test_what_is_not_sampled_leaves_no_spans(api, client, worker, receiver):
    headers = {"traceparent": f"00-{'c' * 32}-{CALLER}-00"}
    job_id = api.post("/api/v1/jobs", json={"type": "fine", "payload": {}}, headers=headers).json()["job_id"]
    assert bytes(client.wait(job_id, 10).result).decode() == f'"{"c" * 32}"'
    with passing_on(headers):
        died = client.enqueue("dying", {"how": "exit"})
    assert client.wait(died, 10).status == "failed"
    attempts(receiver, client.enqueue("fine", {}), 1)
    assert receiver.of_trace("c" * 32) == []


def test_a_request_with_a_token_in_its_path_leaves_no_span(api, receiver):
    trace_id = "d" * 32
    headers = {"traceparent": f"00-{trace_id}-{CALLER}-01"}
    for path in ("/hirefire/a-token-of-an-autoscaler/info", "/api/v1/queue/stats"):
        api.get(path, headers=headers)
    wait_until(lambda: receiver.of_trace(trace_id), 20, "the span of the second one")
    assert [span.name for span in receiver.of_trace(trace_id)] == ["GET /api/v1/queue/stats"]


def test_a_client_within_a_span_of_its_own_program_carries_that(client, worker, receiver):
    tracer = TracerProvider().get_tracer("a program")
    with tracer.start_as_current_span("shopping") as span:
        job_id = client.enqueue("fine", {})
    (attempt,) = attempts(receiver, job_id, 1)
    assert int(attempt.trace_id, 16) == span.get_span_context().trace_id
    assert int(attempt.parent_id, 16) == span.get_span_context().span_id


def test_spans_that_no_protocol_can_hold_do_no_harm(client, worker, receiver):
    job_id = client.enqueue("weird", {})
    (attempt,) = attempts(receiver, job_id, 1)
    assert client.wait(job_id, 10).status == "completed"
    huge = arrived(receiver, attempt.trace_id, name="huge")
    assert list(huge.attributes) == ["gopher.too_large"]


def test_nothing_is_lost_when_a_worker_leaves(client, start, tracing_on, receiver):
    queue = f"queue-{uuid4().hex[:8]}"
    ids = client.enqueue_many([{"type": "fine", "payload": {}, "queue": queue}] * 300)
    worker = start(Worker, **tracing_on | {"OTEL_BSP_SCHEDULE_DELAY": "60000"}, WORKER_QUEUES=queue)
    wait_until(lambda: client.stats().queues[queue].totals["completed"] == 300, 20, "all jobs to end")
    assert worker.stop() == 0
    assert [len(receiver.of_job(job_id)) for job_id in ids] == [1] * 300
    wait_until(lambda: worker.session() == [])


def test_nothing_is_lost_when_a_worker_is_killed(client, start, tracing_on, receiver):
    queue = f"queue-{uuid4().hex[:8]}"
    ids = client.enqueue_many([{"type": "fine", "payload": {}, "queue": queue}] * 50)
    worker = start(Worker, **tracing_on | {"OTEL_BSP_SCHEDULE_DELAY": "60000"}, WORKER_QUEUES=queue)
    wait_until(lambda: client.stats().queues[queue].totals["completed"] == 50, 20, "all jobs to end")
    worker.send(signal.SIGKILL)
    wait_until(lambda: sum(len(receiver.of_job(job_id)) for job_id in ids) >= 50, 10, "the spans to arrive")
    assert [len(receiver.of_job(job_id)) for job_id in ids] == [1] * 50
    wait_until(lambda: not worker.session(), 10, "the exporter to end by itself")


def exporter_of(worker):
    titles = {}
    for pid in worker.children():
        # It may have just ended.
        with suppress(OSError):
            titles[pid] = Path(f"/proc/{pid}/cmdline").read_text().strip("\0")
    return next((pid for pid, title in titles.items() if title.startswith("gopher: exporter of")), None)


def test_an_exporter_that_dies_is_replaced(client, start, tracing_on, receiver):
    queue = f"queue-{uuid4().hex[:8]}"
    worker = start(Worker, **tracing_on, WORKER_QUEUES=queue)
    first = wait_until(lambda: exporter_of(worker), 20, "the exporter")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: exporter_of(worker) not in (first, None), 10, "another exporter")
    attempts(receiver, client.enqueue("fine", {}, queue=queue), 1)
    assert worker.stop() == 0


def test_a_collector_that_hangs_holds_up_no_one(client, start, tracing_on, receiver):
    queue = f"queue-{uuid4().hex[:8]}"
    worker = start(Worker, **tracing_on, WORKER_QUEUES=queue, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    receiver.hanging.set()
    try:
        ids = client.enqueue_many([{"type": "fine", "payload": {}, "queue": queue}] * 500)
        wait_until(lambda: client.stats().queues[queue].totals["completed"] == len(ids), 20, "all jobs to end")
    finally:
        receiver.hanging.clear()
    assert worker.stop() == 0


def test_the_supervisor_has_one_thread(client, start, tracing_on):
    worker = start(Worker, **tracing_on, WORKER_QUEUES="on")
    wait_until(lambda: exporter_of(worker) is not None, 20, "the exporter")
    assert len(os.listdir(f"/proc/{worker.pid}/task")) == 1
    assert worker.stop() == 0


# redis-py itself imports the SDK.
_OFF = """
import sys
import redis
before = set(sys.modules)
from gopher.app import create_app
from gopher.client import Client
from gopher.jobs.loading import load_handlers
from gopher.config.settings import Settings
from gopher import scheduler, worker
from gopher.scheduler.loop import Scheduler
from gopher.worker.supervisor import Supervisor
from gopher.cli.submitting import submit

with create_app().test_client() as http, Client() as client:
    client.enqueue("fine", {})
    body = {"type": "math", "payload": {"operation": "prime", "number": 7}}
    assert http.post("/api/v1/jobs", json=body).status_code == 201
Supervisor(Settings.from_env(), load_handlers(["gopher.handlers"]))
loaded = [name for name in set(sys.modules) - before if name.startswith("opentelemetry")]
assert not loaded, loaded
"""


def test_nothing_of_it_is_imported_when_tracing_is_off(client):
    python = [sys.executable, "-P", "-c", _OFF]
    subprocess.run(python, env={**os.environ, **where(client)}, check=True, timeout=30)


def test_gopherctl_continues_with_the_trace_of_its_environment(client, worker, receiver, tracing_on):
    environ = {**os.environ, **where(client), "TRACEPARENT": f"00-{'e' * 32}-{CALLER}-01", "PYTHONPATH": os.getcwd()}
    for variables in (tracing_on, {"GOPHER_HANDLERS": "tests.tracing.handlers"}):
        command = gopherctl("submit", "-t", "fine", "-p", "{}")
        said = subprocess.run(command, env=environ | variables, check=True, timeout=30, capture_output=True, text=True)
        (attempt,) = attempts(receiver, said.stdout.strip(), 1)
        assert attempt.trace_id == "e" * 32
    enqueue = arrived(receiver, "e" * 32, service="gopherctl")
    assert (enqueue.kind, enqueue.parent_id) == ("producer", CALLER)


def test_a_protocol_that_we_do_not_speak_is_refused_at_start(client, tracing_on, tmp_path):
    environ = {**where(client), **tracing_on, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    worker = Process("worker", environ, tmp_path)
    assert worker.wait() == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': expected http/protobuf" in worker.log

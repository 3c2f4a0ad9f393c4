"""What attempts have used: CPU time and memory."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gopher.client import Client
from gopher.jobs.attempts import HistoryRow
from gopher.reads.histogram import latency_of, memory_of
from tests.worker.processes import Worker

MIB = 2**20


@pytest.fixture(scope="module")
def attempt(redis_url: str) -> Iterator[Callable[..., HistoryRow]]:
    """Run a job in the only child of a worker; return its attempt."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-usage-"))
    with Client(redis_url, namespace=f"usage-{uuid4().hex[:12]}") as client:
        variables = {"GOPHER_HANDLERS": "tests.worker.using_handlers", "WORKER_CONCURRENCY": "1"}
        worker = Worker(client, folder, **variables)

        def run(**payload: Any) -> HistoryRow:
            view = client.wait(client.enqueue("use", payload), 60)
            (row,) = view.history
            return row

        run.client = client
        yield run
        worker.destroy()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("where", ["cpu", "thread", "subprocess"])
@pytest.mark.parametrize("fails", [False, True])
def test_cpu_time_of_threads_and_subprocesses_is_that_of_the_attempt(attempt, where, fails):
    row = attempt(**{where: 0.1}, fails=fails)
    assert row.outcome == ("failed" if fails else "completed")
    assert row.cpu_user is not None
    assert row.cpu_system is not None
    assert 0.1 <= row.cpu_user + row.cpu_system < 1
    assert row.duration is not None
    assert row.duration >= 0.1


def test_the_peak_of_memory_does_not_include_that_of_the_attempt_before(attempt):
    large = attempt(memory=200 * MIB, seconds=0.1)
    # An attempt whose peak is not read may have one, too.
    attempt(memory=300 * MIB)
    small = attempt(seconds=0.1)
    assert large.peak_memory > 200 * MIB
    assert 5 * MIB < small.peak_memory < 150 * MIB


def test_reading_the_peak_is_not_taken_for_a_call_of_the_handler(attempt):
    ids = [attempt.client.enqueue("noted", {}) for _ in range(3)]
    views = [attempt.client.wait(job_id, 60) for job_id in ids]
    assert [bytes(view.result) for view in views] == [b"false"] * 3
    assert all(view.history[-1].peak_memory > 20 * MIB for view in views)


def test_attempts_that_are_too_short_to_be_measured_have_no_figures(attempt):
    rows = [attempt() for _ in range(20)]
    # On a loaded machine some may take longer.
    assert any((row.cpu_user, row.cpu_system, row.peak_memory) == (None, None, None) for row in rows)


def test_figures_are_counted_for_each_type(attempt):
    attempt(cpu=0.1, memory=100 * MIB)
    attempt(cpu=0.1, memory=100 * MIB, fails=True)
    fields = attempt.client.inspector.histograms("default", ["use"])["use"]
    cpu, memory = latency_of(fields, "cpu"), memory_of(fields)
    assert cpu.count >= memory.count >= 2
    assert cpu.p95 >= 0.05
    assert memory.p95 >= 100 * MIB
    assert memory.mean >= 50 * MIB

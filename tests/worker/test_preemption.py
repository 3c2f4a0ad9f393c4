"""Preemption: urgent jobs run in the places of frozen ones."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from gopher.worker.children.stacks import SIGNAL

from gopher.base.times import from_rfc3339
from gopher.errors import JobConflict
from tests.helpers import wait_until
from tests.worker.processes import QUICK, Process, error_of, result_of, where

deep = pytest.mark.deep
HANDLERS = {"GOPHER_HANDLERS": "tests.worker.preemptible_handlers", "WORKER_CONCURRENCY": "1"}


class Lab:
    """Jobs of the handlers, and what is known of them."""

    def __init__(self, client, folder: Path) -> None:
        self.client, self.folder, self._marks = client, folder, 0
        self._pids: dict[str, int] = {}

    def path(self, name: str) -> Path:
        return self.folder / name

    def begin(self, job_type: str, payload=None, **options) -> str:
        """Enqueue a job, and wait until its handler has begun."""
        job_id, mark = self.enqueue(job_type, payload, **options)
        wait_until(mark.exists)
        self._pids[job_id] = int(mark.read_text())
        return job_id

    def enqueue(self, job_type: str, payload=None, **options) -> tuple[str, Path]:
        self._marks += 1
        mark = self.path(f"mark-{self._marks}")
        return self.client.enqueue(job_type, {"mark": str(mark), **(payload or {})}, **options), mark

    def urgent(self, **payload) -> str:
        """Begin an urgent job."""
        return self.begin("urgent", payload, priority="high")

    def frozen(self, job_id: str) -> bool:
        """Return whether a job is shown as frozen."""
        return bool(self.client.job(job_id).history[-1].frozen_since)

    def frozen_for(self, job_id: str) -> float:
        """Return for how many seconds a job has been frozen now."""
        since = self.client.job(job_id).history[-1].frozen_since
        return time.time() - from_rfc3339(since) / 1000 if since else 0.0

    def child_of(self, job_id: str) -> int:
        return self._pids[job_id]

    def is_stopped(self, pid: int) -> bool:
        return psutil.pid_exists(pid) and psutil.Process(pid).status() == psutil.STATUS_STOPPED


@pytest.fixture
def lab(client, tmp_path):
    return Lab(client, tmp_path)


def test_an_urgent_job_runs_in_the_place_of_a_frozen_one_that_continues_afterwards(client, start_worker, lab):
    start_worker(**HANDLERS)
    until, other = lab.path("until"), lab.path("other")
    long = lab.begin("long", {"until": str(until)})
    child = lab.child_of(long)
    urgent = lab.urgent(until=str(other))
    wait_until(lambda: lab.is_stopped(child))
    wait_until(lambda: lab.frozen(long))
    assert client.job(long).status == "processing"
    assert [reason.code for reason in client.why(long)] == ["frozen", "running"]
    wait_until(lambda: [bool(child.frozen_since) for child in client.workers()[0].children] == [True, False])
    other.touch()
    assert client.wait(urgent, 60).status == "completed"
    wait_until(lambda: not lab.is_stopped(child))
    wait_until(lambda: not lab.frozen(long))
    until.touch()
    view = client.wait(long, 60)
    assert view.status == "completed"
    row = view.history[-1]
    assert row.frozen > 0
    # The handler's deadline has moved as well.
    assert result_of(view)["moved"] == pytest.approx(row.frozen, abs=0.01)
    assert view.attempts == 1


@pytest.fixture
def frozen(lab, start_worker):
    """Return a function that starts a worker, and a job that is frozen while an urgent one runs."""

    def begin(job_type="long", payload=None, options=None, **environ):
        worker = start_worker(**{**HANDLERS, **environ})
        job_id = lab.begin(job_type, {"until": str(lab.path("until")), **(payload or {})}, **(options or {}))
        child = lab.child_of(job_id)
        urgent = lab.urgent(until=str(lab.path("other")))
        wait_until(lambda: lab.is_stopped(child))
        return worker, job_id, child, urgent

    return begin


@deep
def test_time_in_which_a_job_was_frozen_counts_towards_no_timeout(client, lab, start_worker):
    start_worker(**{**HANDLERS, "WORKER_CONCURRENCY": "2"})
    until = {"until": str(lab.path("until"))}
    jobs = [lab.begin("long", each, timeout="10s", max_retries=0) for each in (until, {"until": "never"})]
    for _ in jobs:
        lab.urgent(until=str(lab.path("other")))
    wait_until(lambda: all(lab.frozen_for(job_id) > 10.2 for job_id in jobs), 60)
    # It ends as soon as it continues: what is left of its time may be short on a busy machine.
    lab.path("until").touch()
    lab.path("other").touch()
    completed, failed = (client.wait(job_id, 60) for job_id in jobs)
    assert (completed.status, failed.status) == ("completed", "failed")
    (row,) = completed.history
    assert row.frozen > 10.2
    assert row.duration < 10
    (row,) = failed.history
    assert (row.outcome, row.frozen > 10.2) == ("timeout", True)
    # It had all of its time; it counts as frozen from when it is told to stop.
    assert row.duration >= 9.8


@deep
def test_a_frozen_job_can_be_cancelled(client, lab, frozen):
    _, job_id, _, urgent = frozen()
    client.cancel(job_id)
    assert client.wait(job_id, 60).status == "cancelled"
    lab.path("other").touch()
    assert client.wait(urgent, 60).status == "completed"


@deep
def test_one_that_ignores_that_is_killed_after_its_grace(client, lab, frozen):
    _, job_id, child, _ = frozen("deaf")
    client.cancel(job_id)
    assert client.wait(job_id, 60).status == "cancelled"
    wait_until(lambda: not psutil.pid_exists(child))


def test_a_worker_that_is_told_to_stop_lets_frozen_jobs_finish(client, lab, frozen):
    worker, job_id, child, urgent = frozen()
    worker.send(signal.SIGTERM)
    wait_until(lambda: not lab.is_stopped(child))
    lab.path("other").touch()
    lab.path("until").touch()
    assert worker.wait() == 0
    assert [client.job(each).status for each in (job_id, urgent)] == ["completed", "completed"]
    wait_until(lambda: worker.session() == [])


@deep
def test_frozen_jobs_that_do_not_finish_until_it_stops_are_requeued(client, lab, frozen):
    worker, job_id, _, _ = frozen("deaf", WORKER_SHUTDOWN_TIMEOUT="300ms")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert client.job(job_id).status == "pending"


@deep
def test_a_frozen_child_that_is_killed_has_crashed(client, lab, frozen):
    _, job_id, child, urgent = frozen(options={"max_retries": 0})
    os.kill(child, signal.SIGKILL)
    view = client.wait(job_id, 60)
    assert error_of(view)["type"] == "ChildCrashed"
    lab.path("other").touch()
    assert client.wait(urgent, 60).status == "completed"


@deep
def test_after_a_lost_lease_the_frozen_child_is_killed_and_another_worker_runs_the_job(client, lab, frozen):
    worker, job_id, child, _ = frozen(WORKER_LEASE="2s", WORKER_POLL_INTERVAL="300ms")
    worker.send(signal.SIGSTOP)
    wait_until(lambda: client.server.run(client.server.queue("default").rescue(None, 0.0)).workers)
    worker.send(signal.SIGCONT)
    wait_until(lambda: not psutil.pid_exists(child))
    lab.path("other").touch()
    lab.path("until").touch()
    assert client.wait(job_id, 60).status == "completed"
    assert client.job(job_id).lost == 1


@deep
def test_the_stack_of_a_frozen_job_is_refused_with_the_reason(client, frozen):
    _, job_id, _, _ = frozen()
    with pytest.raises(JobConflict, match="it is frozen"):
        client.fleet.stack(job_id)


def _count(path: Path) -> int:
    return int(path.read_text().split()[1])


def _pid(path: Path) -> int:
    return int(path.read_text().split()[0])


@deep
def test_what_a_job_has_started_is_frozen_with_it(client, lab, start_worker):
    start_worker(**HANDLERS)
    group, session = lab.path("group"), lab.path("session")
    payload = {"until": str(lab.path("until")), "group": str(group), "session": str(session)}
    job_id = lab.begin("family", payload)
    wait_until(lambda: group.exists() and session.exists())
    lab.urgent(until=str(lab.path("other")))
    wait_until(lambda: all(lab.is_stopped(_pid(path)) for path in (group, session)))
    before = [_count(group), _count(session)]
    lab.path("other").touch()
    wait_until(lambda: _count(group) > before[0] and _count(session) > before[1])
    lab.path("until").touch()
    assert client.wait(job_id, 60).status == "completed"


def test_nothing_stays_stopped_when_the_supervisor_is_killed(client, lab, start_worker):
    worker = start_worker(**HANDLERS)
    group, session = lab.path("group"), lab.path("session")
    payload = {"until": str(lab.path("until")), "group": str(group), "session": str(session)}
    lab.begin("family", payload)
    wait_until(lambda: group.exists() and session.exists())
    lab.urgent(until=str(lab.path("other")))
    pids = _pid(group), _pid(session)
    wait_until(lambda: all(map(lab.is_stopped, pids)))
    worker.send(signal.SIGKILL)
    worker.wait()
    # What has left the group was not a process of the worker's any more, and continues.
    before = _count(session)
    wait_until(lambda: not psutil.pid_exists(pids[0]) and _count(session) > before)
    os.kill(pids[1], signal.SIGKILL)
    wait_until(lambda: worker.session() == [])


#: Runs a worker in its own session, and inherits what the worker leaves behind, as process 1 of a container does.
_FIRST_PROCESS = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
subprocess.Popen([sys.executable, "-m", "gopher.worker"])
while True:
    os.wait()
"""


@deep
def test_nothing_stays_stopped_below_a_process_of_the_same_session(client, lab, started, tmp_path):
    environ = {**where(client), **QUICK, **HANDLERS}
    first = Process("worker", environ, tmp_path, command=[sys.executable, "-c", _FIRST_PROCESS])
    started.append(first)
    group, session = lab.path("group"), lab.path("session")
    lab.begin("family", {"until": "never", "group": str(group), "session": str(session)})
    wait_until(lambda: group.exists() and session.exists())
    lab.urgent(until=str(lab.path("other")))
    pids = _pid(group), _pid(session)
    wait_until(lambda: all(map(lab.is_stopped, pids)))
    os.kill(client.workers()[0].pid, signal.SIGKILL)
    before = _count(session)
    wait_until(lambda: not psutil.pid_exists(pids[0]) and _count(session) > before)
    os.kill(pids[1], signal.SIGKILL)


@deep
def test_an_attempt_that_was_frozen_for_long_is_not_frozen_again(client, lab, start_worker):
    start_worker(**HANDLERS, WORKER_MAX_FROZEN_TIME="1s")
    long = lab.begin("long", {"until": str(lab.path("until"))})
    urgent = [lab.enqueue("urgent", {"seconds": 0.4}, priority="high")[0] for _ in range(8)]
    # It continues although others are waiting.
    wait_until(lambda: not lab.frozen(long) and (client.job(long).history[-1].frozen or 0) >= 1)
    assert client.job(urgent[-1]).status == "pending"
    lab.path("until").touch()
    view = client.wait(long, 60)
    assert view.history[-1].frozen >= 1
    assert {client.wait(job_id, 60).status for job_id in urgent} == {"completed"}
    started = [client.job(job_id).started_at for job_id in urgent]
    assert sum(at < view.finished_at for at in started) < len(urgent)


@deep
def test_with_no_frozen_jobs_allowed_urgent_jobs_wait_and_no_child_is_spare(client, lab, start_worker):
    worker = start_worker(**HANDLERS, WORKER_MAX_FROZEN="0")
    long = lab.begin("long", {"until": str(lab.path("until"))})
    (urgent, mark) = lab.enqueue("urgent", priority="high")
    assert len(worker.children()) == 1
    with pytest.raises(AssertionError):
        wait_until(mark.exists, 2)
    lab.path("until").touch()
    assert [client.wait(job_id, 60).status for job_id in (long, urgent)] == ["completed", "completed"]
    assert "frozen" not in " ".join(client.inspector.totals("default"))


@deep
def test_nothing_is_frozen_for_a_job_that_would_not_fit_beside_it(client, lab, start_worker):
    # The urgent job's type is not known: 64 MiB have to be free.
    start_worker(**HANDLERS, WORKER_MEMORY="400MiB")
    long = lab.begin("long", {"until": str(lab.path("until")), "memory": 300 * 2**20})
    # The worker looks at what jobs use now and then.
    wait_until(lambda: [each for each in client.workers() if each.admission and each.admission.free < 64 * 2**20])
    (urgent, mark) = lab.enqueue("urgent", priority="high")
    with pytest.raises(AssertionError):
        wait_until(mark.exists, 3)
    assert not lab.frozen(long)
    lab.path("until").touch()
    assert [client.wait(job_id, 60).status for job_id in (long, urgent)] == ["completed", "completed"]


@deep
def test_urgent_jobs_of_tenants_and_behind_waiting_jobs_are_found(client, lab, start_worker):
    start_worker(**HANDLERS)
    long = lab.begin("long", {"until": str(lab.path("until"))})
    others = [client.enqueue("urgent", {}) for _ in range(3)]
    for tenant in (None, "a", "b"):
        urgent, _ = lab.enqueue("urgent", priority="high", tenant=tenant)
        assert client.wait(urgent, 60).status == "completed"
    # One that the worker has asked for in vain goes back; one that it has begun would end.
    wait_until(lambda: {client.job(job_id).status for job_id in others} == {"pending"})
    lab.path("until").touch()
    assert {client.wait(job_id, 60).status for job_id in (long, *others)} == {"completed"}


def test_a_child_whose_last_job_gave_no_stack_can_be_frozen(client, lab, start_worker):
    start_worker(**HANDLERS)
    mute = lab.begin("mute", {"until": str(lab.path("until"))})
    child = lab.child_of(mute)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(client.fleet.stack, mute)
        # It has been asked: the signal waits until it is taken.
        wait_until(lambda: pending_signals(child) >> (SIGNAL - 1))
        lab.path("until").touch()
        with pytest.raises(JobConflict, match="has no stack"):
            asked.result()
    long = lab.begin("long", {"until": str(lab.path("other"))})
    assert lab.child_of(long) == child
    assert client.wait(lab.urgent(), 60).status == "completed"
    lab.path("other").touch()
    assert client.wait(long, 60).history[0].frozen > 0


def pending_signals(pid):
    """Return the signals of a process that wait until it takes them: bit N is that of number N + 1."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("ShdPnd:"))
    return int(line.split()[1], 16)


def test_what_all_children_share_does_not_count_as_what_urgent_jobs_need(client, lab, start_worker):
    start_worker(**HANDLERS, WORKER_MEMORY="400MiB", BALLAST="200")
    wait_until(lambda: client.workers()[0].admission)
    for number in range(3):
        long = lab.begin("long", {"until": str(lab.path(f"until-{number}"))})
        # For so long that what it needs is measured.
        assert client.wait(lab.urgent(seconds=0.1), 60).status == "completed"
        lab.path(f"until-{number}").touch()
        assert client.wait(long, 60).history[0].frozen > 0

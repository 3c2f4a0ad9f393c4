"""How children start: by a fork or afresh; what threads in the parent mean; and the hooks of handler modules."""

import signal

import pytest

from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import ROOT, error_of, result_of

ASKS = """
import os, random, sys, threading
from gopher import handler
from tests.helpers import note_started

rng = random.Random()
seeded = random.Random(7)

class Shop:
    numbers = random.Random(7)

@handler("ask")
def ask(job, payload: dict):
    numbers = [random.random(), rng.random(), seeded.random(), Shop.numbers.random()]
    if payload.get("numpy"):
        numbers += [np.random.random(), legacy.random(), generator.random()]
    return {"pid": os.getpid(), "numbers": numbers, "threads": threading.active_count(), "argv": sys.argv[1:]}

@handler("hold")
def hold(job, payload: dict):
    import time
    note_started(job.id)
    while not os.path.exists(payload["until"]):
        time.sleep(0.01)
    return ask(job, payload)

@handler("waits")
def waits(job, payload: dict):
    import time
    time.sleep(60)

@handler("crash")
def crash(job, payload: dict):
    os._exit(3)
"""
NUMPY = """
import numpy as np
legacy, generator = np.random.RandomState(3), np.random.default_rng(3)
"""
THREAD_AT_IMPORT = """
import threading
threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
"""
THREAD_IN_PRELOAD = """
def preload():
    import threading
    threading.Thread(target=threading.Event().wait, name="warm", daemon=True).start()
"""
HOOKS = """
def on_child_start():
    global started
    started = os.getpid()
    print("started here", started, flush=True)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    os.environ["SHOP"] = "open"

def on_child_stop():
    print("stopped here", started, flush=True)

@handler("hooked")
def hooked(job, payload: dict):
    return [started, os.getpid(), os.environ["SHOP"]]
"""


@pytest.fixture
def start(client, start_worker, tmp_path):
    def start(*parts, **environ):
        (tmp_path / "asks.py").write_text("".join(parts))
        return start_worker(GOPHER_HANDLERS="asks", PYTHONPATH=f"{tmp_path}:{ROOT}", **environ)

    return start


def both(client, tmp_path, payload):
    """Return what two children say that run a job at the same time."""
    until = tmp_path / "until"
    ids = [client.enqueue("hold", {**payload, "until": str(until)}) for _ in range(2)]
    wait_until_started(*ids)
    until.touch()
    views = [client.wait(job_id, 30) for job_id in ids]
    assert [error_of(view) for view in views] == [{}, {}]
    return [result_of(view) for view in views]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_two_children_draw_the_same_random_numbers(client, start, tmp_path, method):
    start(NUMPY, ASKS, WORKER_START_METHOD=method)
    one, two = both(client, tmp_path, {"numpy": True})
    assert one["pid"] != two["pid"]
    assert not set(one["numbers"]) & set(two["numbers"])
    assert len(set(one["numbers"])) == 7


def test_spawned_children_take_jobs_are_interrupted_and_replaced(client, start):
    worker = start(ASKS, WORKER_START_METHOD="spawn", WORKER_CONCURRENCY="1")
    answers = [result_of(client.wait(client.enqueue("ask", {}), 30)) for _ in range(2)]
    assert {answer["pid"] for answer in answers} == set(worker.children())
    assert answers[0]["argv"] == []
    ids = client.enqueue_many({"type": "ask", "payload": {}} for _ in range(300))
    assert {client.wait(job_id, 30).attempts for job_id in ids} == {1}
    late = client.wait(client.enqueue("waits", {}, timeout="200ms", max_retries=0), 30)
    assert error_of(late)["message"] == "ran longer than its timeout of 200ms"
    crashed = client.wait(client.enqueue("crash", {}, max_retries=0), 30)
    assert error_of(crashed)["message"] == "its child process died once (exit 3)"
    assert result_of(client.wait(client.enqueue("ask", {}), 30))["pid"] != answers[0]["pid"]
    assert worker.stop() == 0
    wait_until(lambda: worker.session() == [])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((THREAD_AT_IMPORT, ASKS), "asks: 1 thread (poller)"),
        ((ASKS, THREAD_IN_PRELOAD), "asks.preload(): 1 thread (warm)"),
        ((THREAD_AT_IMPORT, ASKS, THREAD_IN_PRELOAD), "asks: 1 thread (poller); asks.preload(): 1 thread (warm)"),
    ],
)
def test_threads_of_handler_modules_are_named_and_children_spawned_instead(client, start, parts, said):
    worker = start(*parts)
    (warning,) = [line for line in worker.log.splitlines() if "children are spawned, not forked" in line]
    assert said in warning
    # In a child of its own start they run.
    assert result_of(client.wait(client.enqueue("ask", {}), 30))["threads"] == 1 + said.count("thread (")


def test_threads_that_a_library_ends_before_a_fork_are_no_reason(client, start):
    worker = start(NUMPY, ASKS)
    client.wait(client.enqueue("ask", {}), 30)
    assert "spawned" not in worker.log


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_hooks_are_called_in_each_child_and_what_they_start_belongs_to_it(client, start, method):
    worker = start(ASKS, HOOKS, WORKER_START_METHOD=method, WORKER_CONCURRENCY="1", WORKER_MAX_JOBS_PER_CHILD="2")
    answers = [result_of(client.wait(client.enqueue("hooked", {}), 30)) for _ in range(4)]
    children = [pid for _, pid, _ in answers]
    assert all(started == pid and shop == "open" for started, pid, shop in answers)
    # Neither the thread nor the variable is one that a job has left.
    assert children == sorted(children, key=children.index)
    assert len(set(children)) == 2
    assert "is replaced" not in worker.log
    # It leaves while the next one runs jobs already.
    wait_until(lambda: f"stopped here {children[0]}" in worker.log)
    assert f"started here {children[0]}" in worker.log
    assert worker.stop() == 0


def test_a_child_that_is_told_to_leave_before_it_is_ready_is_no_error(start):
    worker = start(ASKS, "import time\n\ndef on_child_start():\n    time.sleep(1)\n", WORKER_CONCURRENCY="2")
    wait_until(lambda: len(worker.children()) == 2)
    worker.send(signal.SIGTTOU)
    wait_until(lambda: len(worker.children()) == 1)
    assert worker.stop() == 0
    assert "died before it was ready" not in worker.log


def test_a_hook_that_fails_is_told_and_no_child_goes_without_it(client, start):
    worker = start(ASKS, "def on_child_start():\n    raise ValueError('no database')\n")
    wait_until(lambda: "a child died before it was ready" in worker.log)
    assert "on_child_start() has failed" in worker.log
    assert "ValueError: no database" in worker.log
    job_id = client.enqueue("ask", {})
    wait_until(lambda: worker.log.count("died before it was ready") > 2)
    assert client.job(job_id).attempts == 0

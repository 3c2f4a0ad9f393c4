"""In which order waiting jobs are begun, seen with one child."""

import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from gopher.queue.scripts import names as script_names
from gopher.queue.scripts import script
from tests.helpers import wait_until


class Ledger:
    """A file that the `note` handler appends one word to."""

    def __init__(self, path):
        self.path = path

    def job(self, word, **options):
        return {"type": "note", "payload": {"ledger": str(self.path), "word": word}, **options}

    def words(self, count):
        return wait_until(lambda: (words := self._read()) and len(words) >= count and words, 20)

    def _read(self):
        return self.path.read_text().split() if self.path.exists() else []


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


def shares(words, window):
    """Return of each word how often it comes in windows of that many."""
    counts = [Counter(words[at : at + window]) for at in range(len(words) - window + 1)]
    return {word: {count[word] for count in counts} for word in set(words)}


def about(count):
    """Return what a share may be: jobs that a busy worker returns shift the cycle, which is exact else (tests/lua)."""
    return {count - 1, count, count + 1}


def test_all_priorities_waiting_share_5_3_1_in_each_window_of_nine(client, start_worker, ledger):
    names = {"high": 50, "normal": 30, "low": 10}
    client.enqueue_many(ledger.job(name, priority=name) for name, count in names.items() for _ in range(count))
    start_worker(WORKER_CONCURRENCY="1")
    found = shares(ledger.words(90)[:81], 9)
    assert found["high"] <= about(5)
    assert found["normal"] <= about(3)
    assert found["low"] <= about(1)


def test_weights_of_ones_own_hold_as_exactly(client, start_worker, ledger):
    names = {"high": 20, "normal": 20, "low": 20}
    client.enqueue_many(ledger.job(name, priority=name) for name, count in names.items() for _ in range(count))
    start_worker(WORKER_CONCURRENCY="1", WORKER_PRIORITY_WEIGHTS="high:1,normal:1,low:1")
    found = shares(ledger.words(60)[:54], 6)
    assert all(found[name] <= about(2) for name in names)


def test_what_one_priority_leaves_goes_to_the_others(client, start_worker, ledger):
    client.enqueue_many(ledger.job(name, priority=name) for name in ["low"] * 20 + ["normal"] * 20)
    start_worker(WORKER_CONCURRENCY="1")
    words = ledger.words(40)
    # Three to one while both wait, then what is left.
    assert Counter(words[:24])["low"] == pytest.approx(6, abs=1)
    assert Counter(words) == {"low": 20, "normal": 20}


def test_strict_order_begins_nothing_before_all_that_is_more_urgent(client, start_worker, ledger):
    names = ["low", "normal", "high"] * 15
    client.enqueue_many(ledger.job(f"{name}-{at}", priority=name) for at, name in enumerate(names))
    start_worker(WORKER_CONCURRENCY="1", WORKER_PRIORITY_WEIGHTS="strict")
    words = ledger.words(45)
    assert [word.partition("-")[0] for word in words] == ["high"] * 15 + ["normal"] * 15 + ["low"] * 15
    # And within a priority the first one in is the first one out.
    places = [int(word.partition("-")[2]) for word in words]
    assert [places[at : at + 15] for at in (0, 15, 30)] == [list(range(start, 45, 3)) for start in (2, 1, 0)]


def test_queues_are_served_in_order_of_preference(client, start_worker, ledger):
    for queue in ("bulk", "mails", "urgent"):
        client.enqueue_many(ledger.job(queue, queue=queue) for _ in range(30))
    start_worker(WORKER_CONCURRENCY="1", WORKER_QUEUES="urgent,mails,bulk")
    words = ledger.words(90)
    assert words == ["urgent"] * 30 + ["mails"] * 30 + ["bulk"] * 30


@pytest.mark.parametrize("seconds", [0.005, 0.05, 0.15])
def test_what_comes_to_a_preferred_queue_does_not_wait_until_the_others_are_empty(client, start_worker, seconds):
    """Neither while short jobs are given ahead, nor while the next ones are held for busy children."""
    others = [{"type": "nap", "payload": {"seconds": seconds}, "queue": "bulk"} for _ in range(int(6 / seconds))]
    last = client.enqueue_many(others)[-1]
    start_worker(WORKER_CONCURRENCY="1", WORKER_QUEUES="urgent,bulk", WORKER_POLL_INTERVAL="200ms")
    wait_until(lambda: client.stats().queues["bulk"].totals["completed"] >= 3)
    assert client.wait(client.enqueue("echo", {}, queue="urgent"), 20).status == "completed"
    assert client.job(last).status == "pending"


def test_a_queue_that_is_not_named_is_left_alone(client, start_worker, ledger):
    other = client.enqueue(**_as_call(ledger.job("other", queue="other")))
    start_worker(WORKER_CONCURRENCY="1", WORKER_QUEUES="mine")
    client.enqueue(**_as_call(ledger.job("mine", queue="mine")))
    assert ledger.words(1) == ["mine"]
    assert client.job(other).status == "pending"


@contextmanager
def burning(processes):
    """Have some processes do nothing as fast as they can."""
    with ExitStack() as stack:
        for _ in range(processes):
            stack.callback(stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"])).kill)
        yield


def _as_call(job):
    return {"job_type": job.pop("type"), **job}


def test_a_tenant_that_comes_late_does_not_wait_for_all_jobs_of_another_one(client, start_worker, ledger):
    early = client.enqueue_many(ledger.job("A", tenant="a") for _ in range(1000))
    late = client.enqueue_many(ledger.job("B", tenant="b") for _ in range(5))
    start_worker(WORKER_CONCURRENCY="2")
    wait_until(lambda: all(client.job(job_id).status == "completed" for job_id in late), 20)
    # By when they were handed out, so that a slow child makes no difference. Those that were returned wait again.
    last = max(client.job(job_id).started_at for job_id in late)
    views = [client.job(job_id) for job_id in early]
    assert sum(view.status != "pending" and view.started_at < last for view in views) <= 12


@pytest.mark.parametrize("busy", [0, 4])
def test_tenants_share_by_weight_in_each_window_of_eight(client, start_worker, ledger, busy):
    """Also when a machine is so busy that jobs which were fetched ahead are returned."""
    # Else the first call of each script comes after those that were sent behind it.
    for verb in script_names():
        client.server.client.script_load(script(verb).source)
    client.flow.set_tenant("a", weight=3)
    for name in ("a", "b"):
        client.enqueue_many(ledger.job(name, tenant=name) for _ in range(150))
    with burning(busy):
        start_worker(WORKER_CONCURRENCY="1")
        words = ledger.words(190)
    # The first job was chosen before there was another tenant.
    assert shares(words[1:189], 8)["a"] <= about(6)

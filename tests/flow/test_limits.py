"""How fast and how many jobs of a type start, over all workers."""

import signal
import statistics
import time

import psutil

from gopher.base.times import from_rfc3339
from gopher.jobs.limit_view import LimitView
from tests.helpers import wait_until

#: Seconds more than ideal that are no fault on a machine that others use too.
SLACK = 4.0
#: Commands that Gopher's processes send themselves; those that scripts call are counted beside them.
SENT = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_brpoplpush")


NOTHING = LimitView("", "", None, None, None, 0, None, paused=False, held_back_for=0.0)


def throttled(client, job_type) -> LimitView:
    """Return what is shown of a type's limit, NOTHING if it has none and is not throttled."""
    return next((view for view in client.flow.limits() if view.type == job_type), NOTHING)


def most_in_any_second(starts: list[float]) -> int:
    starts = sorted(starts)
    return max(sum(first <= start < first + 1 for start in starts) for first in starts)


def most_at_once(lines) -> int:
    events = sorted([(line.start, 1) for line in lines] + [(line.end, -1) for line in lines])
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


def test_a_rate_holds_over_all_workers_and_others_pass(system, ended):
    client = system.client
    client.enqueue("other", {})
    client.flow.set_limit("work", "50/s", 10, None)
    system.start("scheduler")
    system.workers(2)
    begun = time.monotonic()
    # In one call: a limited one that starts while the others are still on the way says nothing.
    ids = client.enqueue_many({"type": name, "payload": {}} for name in ["work"] * 200 + ["other"] * 100)
    limited, others = ids[:200], ids[200:]
    assert set(ended(others)) == {"completed"}
    assert set(ended(limited)) == {"completed"}
    took = time.monotonic() - begun
    assert len(system.lines("work")) == 200
    # By the server's clock: when a busy machine's workers come to start them is another matter.
    starts, passed = (
        sorted(from_rfc3339(client.job(job_id).started_at) / 1000 for job_id in each) for each in (limited, others)
    )
    assert most_in_any_second(starts) <= 50 + 10 + 1
    ideal = (200 - 10) / 50
    # Far from one that passes them one by one; how far behind the ideal it is depends on the machine.
    assert ideal * 0.95 <= took <= ideal * 5
    assert passed[0] < starts[50], "jobs of another type had to wait behind the limited ones"
    assert passed[-1] < starts[-1], "the last job of another type had to wait behind the limited ones"


def test_raising_a_limit_counts_for_jobs_that_wait_already(system, ended):
    client = system.client
    client.flow.set_limit("work", "1/m", 1, None)
    system.start("scheduler")
    system.workers(1)
    ids = client.enqueue_many({"type": "work", "payload": {}} for _ in range(30))
    wait_until(lambda: system.lines("work"))
    client.flow.set_limit("work", "500/s", 100, None)
    raised = time.monotonic()
    assert set(ended(ids)) == {"completed"}
    # At the old rate it were half an hour.
    assert time.monotonic() - raised < 60


def test_no_more_run_at_once_than_allowed_and_always_as_many(system, ended):
    client = system.client
    client.flow.set_limit("work", None, None, 3)
    system.start("scheduler")
    system.workers(2, concurrency=4)
    ids = client.enqueue_many({"type": "work", "payload": {"seconds": 0.2}} for _ in range(30))
    assert set(ended(ids)) == {"completed"}
    lines = system.lines("work")
    assert most_at_once(lines) == 3
    ends = [line.end for line in lines]
    # From the end that made a place free to the start that took it. Most of them: a busy machine delays some.
    gaps = [start - max(end for end in ends if end <= start) for start in sorted(line.start for line in lines)[3:]]
    assert statistics.median(gaps) < 0.2, "places stood empty while jobs waited"


def test_the_places_of_a_killed_worker_are_free_again_within_its_lease(system, ended):
    client = system.client
    client.flow.set_limit("work", None, None, 2)
    system.start("scheduler", WORKER_LEASE="3s")
    system.workers(1, WORKER_LEASE="3s")
    doomed = system.processes[-1]
    held = client.enqueue_many({"type": "work", "payload": {"seconds": 20}} for _ in range(2))
    wait_until(lambda: all(client.job(job_id).status == "processing" for job_id in held))
    system.workers(2, WORKER_LEASE="3s")
    doomed.send_signal(signal.SIGKILL)
    killed = time.time()
    for job_id in held:
        client.cancel(job_id)
    ids = client.enqueue_many({"type": "work", "payload": {}} for _ in range(4))
    assert set(ended(ids)) == {"completed"}
    first = min(line.start for line in system.lines("work"))
    # The lease is 3 s; it may have been extended just before, and is looked at each half second.
    assert first - killed <= 3 + 0.5 + SLACK, "places were kept beyond the lease"
    wait_until(lambda: client.flow.limits()[0].running == 0)


def test_a_limit_per_key_lets_each_tenant_start_as_many(system, ended):
    client = system.client
    client.flow.set_limit("work", "1/m", 1, None, per_key=True)
    system.start("scheduler")
    system.workers(1)
    ids = [client.enqueue("work", {"key": tenant}, limit_key=tenant) for tenant in ("a", "b", "c") for _ in range(2)]
    assert ended(ids[0::2]) == ["completed"] * 3
    assert [client.job(job_id).status for job_id in ids[1::2]] == ["pending"] * 3
    assert client.why(ids[1])[0].code == "rate_limited"


def test_a_limit_of_a_type_holds_whatever_keys_its_jobs_have(system):
    client = system.client
    client.flow.set_limit("work", "1/h", 1, 1)
    system.start("scheduler")
    system.workers(1)
    ids = [client.enqueue("work", {"key": "a"}, limit_key=f"fresh-{number}") for number in range(20)]
    wait_until(lambda: "completed" in {client.job(job_id).status for job_id in ids})
    # Another job runs after them, so that they have all been looked at.
    wait_until(lambda: client.why(ids[-1])[0].code == "rate_limited")
    other = client.enqueue("other", {}, priority="low")
    wait_until(lambda: client.job(other).status == "completed")
    assert [client.job(job_id).status for job_id in ids].count("completed") == 1


def test_a_type_with_a_rate_of_0_is_explained_without_a_time(system):
    client = system.client
    client.flow.set_limit("work", "0/s", None, None)
    reason = client.why(client.enqueue("work", {}))[0]
    assert (reason.code, reason.until) == ("rate_limited", None)
    remedy = "set another one with `gopherctl limits set work --rate 10/s`"
    assert reason.message == f"the rate limit of 'work' is 0: {remedy}"


def test_higher_priority_goes_first_within_a_type(system, ended):
    client = system.client
    client.flow.set_limit("work", "1/h", 1, None)
    low = [client.enqueue("work", {"key": "low"}, priority="low") for _ in range(10)]
    system.start("scheduler")
    system.workers(1)
    wait_until(lambda: system.lines("work"))
    high = [client.enqueue("work", {"key": "high"}, priority="high") for _ in range(5)]
    # Only now: no low one has started while the others were submitted.
    client.flow.set_limit("work", "20/s", 1, None)
    assert set(ended(low + high)) == {"completed"}
    # By the server's clock: a busy machine's children may begin later than the next ones.
    in_order = sorted(low + high, key=lambda job_id: client.job(job_id).started_at)
    assert set(in_order[-3:]) <= set(low)


def test_a_handlers_limit_is_declared_and_never_replaces_an_operators(system):
    client = system.client
    client.enqueue("other", {})
    system.workers(1)
    wait_until(
        lambda: (
            [(view.type, view.rate, view.origin) for view in client.flow.limits()] == [("declared", "5/s", "handler")]
        )
    )
    client.flow.set_limit("declared", "7/s", None, None)
    system.workers(2)
    assert [(view.rate, view.origin) for view in client.flow.limits()] == [("7/s", "api")]


def test_rate_limited_throttles_the_type_and_costs_no_attempt(system, ended, tmp_path):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    begun = time.time()
    ids = [client.enqueue("slow_down", {"mark": str(tmp_path / "mark")}, max_retries=0)]
    wait_until((tmp_path / "mark").exists)
    # What comes before the server has heard of it starts: another child is free. (On a busy machine the pause may be
    # over before the first look at it.)
    wait_until(lambda: client.job(ids[0]).status in ("pending", "completed"))
    ids.append(client.enqueue("slow_down", {"mark": str(tmp_path / "mark")}, max_retries=0))
    assert ended(ids) == ["completed", "completed"]
    assert client.job(ids[0]).attempts == 1
    assert min(line.start for line in system.lines("slow_down")) >= begun + 0.6


def test_rate_limited_holds_back_one_limit_key_until_it_is_released(system, ended, tmp_path):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    told = {"mark": str(tmp_path / "mark"), "retry_after": "1h"}
    ann = client.enqueue("slow_down", told, limit_key="ann:smith", max_retries=0)
    wait_until(lambda: [key.limit_key for key in throttled(client, "slow_down").throttled] == ["ann:smith"])
    assert client.stats().queues["default"].throttled_keys == 1
    again = client.enqueue("slow_down", told, limit_key="ann:smith")
    others = [client.enqueue("slow_down", told, limit_key="bob"), client.enqueue("slow_down", told)]
    assert ended(others) == ["completed", "completed"]
    reason = client.why(again)[0]
    assert (reason.code, reason.until is None) == ("held_back", False)
    assert reason.message.endswith("`gopherctl limits release slow_down --limit-key ann:smith`")
    assert client.flow.release("slow_down", "bob") == 0
    assert client.flow.release("slow_down", "ann:smith") == 1
    assert ended([ann, again]) == ["completed", "completed"]
    assert client.job(ann).attempts == 1
    assert throttled(client, "slow_down") == NOTHING


def test_rate_limited_throttles_all_keys_of_the_type_if_the_handler_says_so(system, ended, tmp_path):
    client = system.client
    system.workers(1)
    told = {"mark": str(tmp_path / "mark"), "retry_after": "1h", "scope": "type"}
    ann = client.enqueue("slow_down", told, limit_key="ann")
    wait_until(lambda: throttled(client, "slow_down").held_back_for > 0)
    bob = client.enqueue("slow_down", told, limit_key="bob")
    assert client.why(bob)[0].message.endswith("`gopherctl limits release slow_down`")
    assert client.flow.release("slow_down") == 1
    assert ended([ann, bob]) == ["completed", "completed"]


def test_an_idle_limited_worker_asks_little(system):
    client = system.client
    client.flow.set_limit("work", "1/h", 1, None)
    system.workers(1, WORKER_LEASE="30s")
    client.enqueue_many({"type": "work", "payload": {}} for _ in range(50))
    wait_until(lambda: system.lines("work") and client.stats().queues["default"].waiting == 49)

    def calls() -> int:
        stats = client.server.client.info("commandstats")
        return sum(stats[name]["calls"] for name in SENT if name in stats)

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in family)

    worker = psutil.Process(system.processes[-1].pid)
    family = [worker, *worker.children(recursive=True)]
    before, cpu, started = calls(), used(), time.monotonic()
    time.sleep(4)  # There is nothing to wait for: the point is that nothing happens.
    took = time.monotonic() - started
    assert (calls() - before) / took < 5
    assert (used() - cpu) / took < 0.04


def test_a_throttled_job_can_be_cancelled_and_the_rest_purged(system):
    client = system.client
    client.flow.set_limit("work", "1/h", 1, None)
    system.start("scheduler")
    system.workers(1)
    ids = client.enqueue_many({"type": "work", "payload": {}} for _ in range(5))
    wait_until(lambda: system.lines("work"))
    wait_until(lambda: client.why(ids[-1])[0].code == "rate_limited")
    assert client.cancel(ids[2]) == "cancelled"
    assert client.purge("default", "pending") == 3
    assert client.stats().queues["default"].waiting == 0


def test_running_jobs_continue_while_their_queue_and_type_are_paused(system, ended):
    client = system.client
    system.workers(1)
    running = client.enqueue("work", {"seconds": 1})
    wait_until(lambda: client.job(running).status == "processing")
    client.flow.pause_queue("default")
    client.flow.pause_type("work")
    assert ended([running]) == ["completed"]


def test_a_limit_that_was_set_before_a_queue_came_holds_there_too(system, ended):
    client = system.client
    client.enqueue("other", {})
    client.flow.set_limit("work", "1/h", 1, None)
    ids = client.enqueue_many({"type": "work", "payload": {}, "queue": "later"} for _ in range(3))
    system.workers(1, WORKER_QUEUES="later")
    assert ended(ids[:1]) == ["completed"]
    assert ended(client.enqueue_many([{"type": "other", "payload": {}, "queue": "later"}])) == ["completed"]
    assert [client.job(job_id).status for job_id in ids[1:]] == ["pending", "pending"]


def test_a_paused_type_waits_and_a_paused_queue_too(system, ended):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    client.flow.pause_type("work")
    waiting = client.enqueue("work", {})
    assert ended([client.enqueue("other", {})]) == ["completed"]
    assert client.job(waiting).status == "pending"
    client.flow.resume_type("work")
    assert ended([waiting]) == ["completed"]
    client.flow.pause_queue("default")
    waiting = client.enqueue("other", {})
    time.sleep(1.5)  # Longer than a worker's poll: it has looked, and left the job alone.
    assert client.job(waiting).status == "pending"
    client.flow.resume_queue("default")
    assert ended([waiting]) == ["completed"]

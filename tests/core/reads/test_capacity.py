"""How many processes and workers the jobs need, as the counters and the workers' records say."""

import math

import msgspec
import pytest

from gopher.errors import InvalidJob
from gopher.jobs.models import ChildView
from gopher.queue.arguments import as_usage
from gopher.reads.capacity import recent
from tests.worker.processes import patient_client

from .loads import ran, sampled, shown

_BUSY = "01a20d1c-ddd6-7e46-9daa-2af634a7f173"


@pytest.fixture
def client(redis_url, namespace):
    with patient_client(redis_url, namespace) as client:
        yield client


def test_nothing_is_needed_where_nothing_was_submitted(client):
    found = client.capacity()
    assert (found.within, found.needed_processes, found.needed_workers, found.groups) == (60, 0, 0, [])


def test_waiting_jobs_need_as_many_processes_as_start_them_in_time(client):
    ran(client, 6000.0, 20)
    sampled(client, 110)
    for _ in range(100):
        client.enqueue("email", {})
    shown(client, "one", 2, cores=4)
    (group,) = client.capacity().groups
    assert (group.name, group.queues, group.workers, group.processes) == ("worker", ["default"], 1, 2)
    assert (group.waiting, group.running, group.types[0].run) == (100, 0, 6)
    # 600 seconds of work within less than a minute.
    assert 11 <= group.needed_processes <= 40
    assert group.needed_workers == group.scale_to == -(-group.needed_processes // 2)
    assert "100 jobs wait" in group.why[1]
    slower = client.capacity("10m").groups[0]
    assert slower.needed_processes < group.needed_processes
    with pytest.raises(InvalidJob, match="within"):
        client.capacity("soon")


def test_long_jobs_need_a_process_each_and_paused_ones_none(client):
    ran(client, 1_000_000.0, 5)
    for _ in range(7):
        client.enqueue("email", {})
    assert client.capacity().groups[0].needed_processes == 7
    client.flow.pause_queue("default")
    assert client.capacity().needed_processes == 0


def test_arrivals_keep_as_many_busy_as_their_work_takes(client):
    sampled(client, 100)
    ran(client, 10_000.0, 50)
    shown(client, "one", 2, cores=2)
    (group,) = client.capacity().groups
    assert group.arrivals == pytest.approx(0.5, rel=0.4)
    # Five on average, and some for the variance.
    assert 10 * group.arrivals - 1 < group.needed_processes < 10 * group.arrivals + 3


def test_workers_with_the_same_queues_are_a_group_and_quiet_ones_do_not_count(client):
    ran(client, 100.0, 1, "pictures")
    ran(client, 100.0, 1, "lonely")
    client.enqueue("email", {}, queue="pictures")
    client.enqueue("email", {}, queue="lonely")
    shown(client, "one", 2, ("default", "mail"), process="mailer.1")
    shown(client, "two", 2, ("mail", "default"), process="mailer.2")
    shown(client, "three", 3, ("pictures", "mail"))
    shown(client, "four", 4, ("pictures", "mail"), state="quiet")
    groups = {group.name: group for group in client.capacity().groups}
    assert {name: (group.workers, group.processes) for name, group in groups.items()} == {
        "mailer": (2, 4),
        "mail": (1, 3),
        "lonely": (0, 0),
    }
    assert (groups["mail"].needed_workers, groups["lonely"].needed_workers) == (1, 1)
    assert "no worker serves lonely" in " ".join(groups["lonely"].why)
    only = client.capacity(queue="pictures")
    assert [group.name for group in only.groups] == ["mail"]


def test_no_dyno_is_stopped_that_runs_a_long_job(client):
    ran(client, 500_000.0)
    since = client.health().timestamp
    idle, busy = ChildView(1, 0, 0), ChildView(2, 0, 0, _BUSY, "email", since)
    for number in range(1, 6):
        shown(client, f"w{number}", [busy if number == 4 else idle], process=f"worker.{number}")
    (group,) = client.capacity().groups
    assert (group.needed_workers, group.scale_to) == (1, 4)


@pytest.mark.parametrize("state", ["quiet", "stopping"])
def test_no_dyno_is_stopped_whose_worker_finishes_a_long_job_before_it_leaves(client, state):
    ran(client, 500_000.0)
    since = client.health().timestamp
    idle, busy = ChildView(1, 0, 0), ChildView(2, 0, 0, _BUSY, "email", since)
    for number in range(1, 4):
        shown(client, f"w{number}", [idle], process=f"worker.{number}")
    shown(client, "w4", [busy], process="worker.4", state=state)
    # It has served another queue as well until the last release.
    shown(client, "w5", [busy], ("default", "old"), process="worker.5", state=state)
    (group,) = client.capacity().groups
    assert (group.workers, group.running, group.needed_workers, group.scale_to) == (3, 0, 0, 5)


def test_dynos_whose_workers_all_leave_keep_their_name_and_those_that_run_long_jobs(client):
    ran(client, 500_000.0)
    ran(client, 10.0, queue="mail")
    busy = ChildView(2, 0, 0, _BUSY, "email", client.health().timestamp)
    for number in (1, 2):
        shown(client, f"w{number}", [busy], ("default", "mail"), process=f"jobs.{number}", state="quiet")
    (group,) = client.capacity().groups
    assert (group.name, group.workers, group.needed_workers, group.scale_to) == ("jobs", 0, 0, 2)
    client.enqueue("email", {}, queue="mail")
    (group,) = client.capacity().groups
    assert (group.name, group.queues, group.needed_workers) == ("jobs", ["default", "mail"], 1)
    # Where another one serves the queues, they are no group.
    shown(client, "new", 2, ("default", "mail", "more"))
    assert [group.name for group in client.capacity().groups] == ["worker"]


def test_no_more_processes_of_a_worker_count_than_its_cores_let_work(client):
    ran(client, 2000.0, 20, usage=as_usage(2.0, 0.0, 0))
    for _ in range(200):
        client.enqueue("email", {})
    shown(client, "one", 8, cores=2)
    (group,) = client.capacity().groups
    assert (group.useful_processes, group.processes) == (2, 8)
    assert group.needed_workers == -(-group.needed_processes // 2)
    assert "can work at a time" in " ".join(group.why)


def test_a_queue_counts_for_those_workers_that_serve_the_fewest_others(client):
    shown(client, "one-1-aaa", 2, queues=("a", "b", "c"))
    shown(client, "two-1-bbb", 1, queues=("b", "c"))
    for queue in ("a", "b", "c", "d"):
        ran(client, 10.0, queue=queue)
        client.enqueue("email", {}, queue=queue)
    found = {tuple(group.queues): group.waiting for group in client.capacity().groups}
    assert found == {("a", "b", "c"): 1, ("b", "c"): 2, ("d",): 1}


def test_metrics_keep_the_answer_for_a_while(client, monkeypatch):
    server, inspector = client.server, client.inspector
    monkeypatch.setattr(recent, "_TIMES", math.inf)
    monkeypatch.setattr(recent, "_LONGEST", 600.0)
    first = recent.recent_capacity(server, inspector)
    client.enqueue("email", {})
    assert recent.recent_capacity(server, inspector) is first
    monkeypatch.setattr(recent, "_kept", {})
    assert recent.recent_capacity(server, inspector).needed_processes == 1


def test_the_hours_of_the_week_are_known_from_the_hourly_samples(client):
    ran(client, 9000.0, 10)
    keys, server = client.server.keys.for_queue("default"), client.server.client
    client.server.run(client.server.queue("default").sample())
    ((data, _),) = server.zrange(keys.timeline(3_600_000), 0, -1, withscores=True)
    sample = msgspec.msgpack.decode(data)
    now = client.inspector.now() // 3_600_000 * 3_600_000
    server.delete(keys.timeline(3_600_000))
    # Two hours, of which the second had 3,600 jobs; and the same a week before, with half as many.
    for week, jobs in ((7 * 24, 1800), (0, 3600)):
        for ago, count in ((3, 0), (2, 0), (1, jobs)):
            at = now - (week + ago) * 3_600_000
            types = {"email": {"enqueued": 10 + count}}
            server.zadd(keys.timeline(3_600_000), {msgspec.msgpack.encode(sample | {"at": at, "types": types}): at})
    # In the order of the week, which begins on Monday: between these two, once a week.
    quiet, busy = sorted(client.capacity().hours, key=lambda each: each.arrivals)
    assert (quiet.arrivals, quiet.needed_processes, quiet.hours) == (0, 0, 2)
    assert (busy.arrivals, busy.hours) == (0.75, 2)
    assert 9 <= busy.needed_processes <= 10
    assert (busy.weekday * 24 + busy.hour) % 168 == (quiet.weekday * 24 + quiet.hour + 1) % 168
    # Without what a process keeps for ten minutes, another queue has hours of its own.
    assert client.capacity(queue="none").hours == []

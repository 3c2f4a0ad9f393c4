"""Workers are told from afar to be quiet or to stop."""

import pytest
from gopher.worker.commands import Commands

from gopher.errors import WorkerNotFound
from gopher.queue.commands import WorkerCommand
from tests.helpers import wait_until
from tests.worker.test_stacks import HANDLERS


def states(client):
    return {worker.id: worker.state for worker in client.workers()}


def test_a_quiet_worker_finishes_its_jobs_and_fetches_no_more(client, start_worker, tmp_path):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    mark, until = tmp_path / "mark", tmp_path / "until"
    running = client.enqueue("naps", {"until": str(until), "mark": str(mark)})
    wait_until(mark.exists)
    waiting = client.enqueue("naps", {})
    (worker,) = client.workers()
    assert client.fleet.quiet(worker.id) == [worker.id]
    wait_until(lambda: states(client) == {worker.id: "quiet"})
    until.touch()
    assert client.wait(running, 20).status == "completed"
    assert client.job(waiting).status == "pending"
    assert client.fleet.stop(worker.id) == [worker.id]
    wait_until(lambda: client.workers() == [], 20)
    assert client.job(waiting).status == "pending"


def test_a_stopped_worker_finishes_its_jobs_and_exits(client, start_worker, tmp_path):
    worker, mark = start_worker(**HANDLERS, WORKER_CONCURRENCY="1"), tmp_path / "mark"
    running = client.enqueue("naps", {"seconds": 1.5, "mark": str(mark)})
    wait_until(mark.exists)
    (view,) = client.workers()
    client.fleet.stop(view.id)
    assert worker.wait() == 0
    assert client.job(running).status == "completed"
    with pytest.raises(WorkerNotFound, match="or it has stopped"):
        client.fleet.stop(view.id)


def test_workers_are_chosen_by_host_and_by_queue(client, start_worker):
    one = start_worker(WORKER_QUEUES="images,default", WORKER_LEASE="3s")
    wait_until(lambda: len(client.workers()) == 1)
    (view,) = client.workers()
    start_worker(WORKER_QUEUES="mail", WORKER_LEASE="3s")
    wait_until(lambda: len(client.workers()) == 2)
    assert client.fleet.quiet_all(host="elsewhere") == []
    assert client.fleet.quiet_all(host=view.host, queue="none") == []
    assert client.fleet.stop_all(queue="default") == [view.id]
    assert one.wait() == 0
    assert len(client.fleet.quiet_all(host=view.host)) == 1
    wait_until(lambda: list(states(client).values()) == ["quiet"])


def test_each_command_is_obeyed_once_and_unknown_ones_are_ignored():
    obeyed, commands = [], Commands()
    commands.actions = {"quiet": lambda command, queue: obeyed.append((command.id, queue))}
    one, two = WorkerCommand("quiet"), WorkerCommand("quiet")
    for texts in ([one.encode()], [one.encode(), two.encode()], ["{", WorkerCommand("dance").encode()]):
        commands.take(texts, "default")
    assert obeyed == [(one.id, "default"), (two.id, "default")]

"""What the processes of a worker take of memory, as its record says."""

import os

from gopher.worker.children.memory import ProportionalMemory, proportional_bytes

from tests.helpers import wait_until


def test_memory_that_is_shared_is_counted_by_its_share(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="3")

    def shown():
        views = [each for each in client.workers() if len(each.children) == 3]
        return next((view for view in views if all(each.pss for each in (view, *view.children))), None)

    view = wait_until(shown, 30)
    for process in (view, *view.children):
        assert 0 < process.pss < process.rss
    # Children are forked, and share nearly everything with the supervisor.
    assert view.memory < 0.8 * (view.rss + sum(child.rss for child in view.children))
    assert {child.pid for child in view.children} == set(worker.children())


def test_a_process_is_not_looked_at_again_while_nothing_has_changed(monkeypatch):
    looks = []

    def look(pid):
        looks.append(pid)
        return proportional_bytes(pid)

    monkeypatch.setattr("gopher.worker.children.memory.proportional_bytes", look)
    monkeypatch.setattr("gopher.worker.children.memory._PAUSE", 0.0)
    monkeypatch.setattr("gopher.worker.children.memory._SHARE", 1.0)
    memory = ProportionalMemory()
    assert memory.of(os.getpid(), 1) == memory.of(os.getpid(), 1)
    assert len(looks) == 1
    memory.forget_others({os.getpid()})
    memory.of(os.getpid(), 1)
    assert len(looks) == 1
    memory.forget_others(set())
    assert memory.of(os.getpid(), 1) > 0
    assert len(looks) == 2


def test_the_memory_of_a_process_that_has_ended_is_not_known():
    assert proportional_bytes(2**22 + 1) is None

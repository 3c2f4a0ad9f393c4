"""What a supervisor must not begin, and when it must look into its list. Its loop does not run here."""

import pytest
from gopher.worker.queue_side.fetcher import BLOCK, Fetcher
from gopher.worker.queue_side.priority_cycle import PriorityCycle
from gopher.worker.running import Running
from gopher.worker.supervisor import Supervisor

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry, handler
from gopher.queue.moves import FetchedJob
from tests.worker.test_pool import new_child


@pytest.fixture
def supervisor(redis_url, namespace):
    registry = Registry()
    handler("echo", into=registry)(lambda job, payload: None)
    supervisor = Supervisor(Settings(redis_url=redis_url, namespace=namespace, worker_lease=30.0), registry)
    supervisor._pool.children[1] = new_child(1)
    yield supervisor
    supervisor._pool.close(supervisor._pool.children[1])
    supervisor._server.close()


def test_nothing_begins_once_the_lease_has_run_out_unheard(supervisor):
    """After the machine has slept, the next heartbeat may say that others have these jobs."""
    job = FetchedJob("id", "w.1", "echo", "normal", 1, (), 0, envelope=b"{}")
    supervisor._backlog.append(Running(job, "default", supervisor._registry.get("echo"), 3, 30.0, "w"))
    heard = supervisor._heard_at["default"]
    supervisor._hand_out(heard + 30.1)
    assert not supervisor._pool.children[1].jobs
    supervisor._hand_out(heard + 29.9)
    assert [running.job.id for running in supervisor._pool.children[1].jobs] == ["id"]


def test_a_lost_bell_is_looked_for_at_once_and_when_the_server_must_have_ended_it(supervisor):
    """An orphan may be given a job for as long as it waits there, and no poll looks while no child is free."""
    cycle = PriorityCycle("strict")
    fetcher = Fetcher(supervisor._server.queue("default"), supervisor._event_loop, cycle, poll_interval=5.0)

    def looks(now):
        """Return whether it fetches; its fetch is answered at once."""
        if not fetcher.must_fetch(now):
            return False
        fetcher.fetch("w", 1, now, lambda fetched: None)
        fetcher.asked_for = 0
        return True

    assert not looks(100.0)
    fetcher._pop_given_up(100.0)
    assert [looks(now) for now in (100.0, 100.1, 100.0 + BLOCK)] == [True, False, False]
    assert [looks(now) for now in (101.1 + BLOCK, 101.2 + BLOCK, 200.0)] == [True, False, False]

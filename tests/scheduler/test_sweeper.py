"""A scheduler removes files that no job needs; of a store that all share, one scheduler at a time does."""

import pytest
from gopher.scheduler import sweeper
from gopher.scheduler.sweeper import Sweeper

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.files import sweeping
from gopher.files.names import job_key
from gopher.files.opening import open_store
from gopher.jobs.job import new_job_id
from gopher.queue.store import Server
from tests.helpers import wait_until


@pytest.fixture(params=["file:", "redis:"])
def settings(request, redis_url, namespace, tmp_path):
    return Settings.from_env(
        {
            "REDIS_URL": redis_url,
            "GOPHER_NAMESPACE": namespace,
            "GOPHER_STORE": request.param,
            "GOPHER_FILES": str(tmp_path),
        }
    )


@pytest.fixture
def queues(settings):
    with Server(settings, connections=2) as server:
        yield server


def test_files_are_removed_while_the_scheduler_runs(queues, settings, monkeypatch):
    monkeypatch.setattr(sweeper, "FIRST", 0.001)
    monkeypatch.setattr(sweeper, "PERIOD", 0.05)
    monkeypatch.setattr(sweeper, "LOCKED", 1)
    monkeypatch.setattr(sweeping.sweep, "__kwdefaults__", {"older_than": None, "grace": -60})
    store = open_store(settings, queues)
    with Client(settings=settings) as client:
        kept, gone = client.enqueue("math", {}), new_job_id()
    for job_id in (kept, gone):
        store.write(job_key(job_id, "a.txt"), [b"x"], limit=1)
    running = Sweeper(queues)
    running.start()
    try:
        assert wait_until(lambda: [each.key for each in store.list("jobs/")] == [job_key(kept, "a.txt")])
    finally:
        running.stop()


def test_schedulers_take_turns_with_a_store_that_all_share(queues, settings):
    turns = [Sweeper(queues)._is_our_turn() for _ in range(3)]
    assert turns == ([True, True, True] if settings.store == "file:" else [True, False, False])

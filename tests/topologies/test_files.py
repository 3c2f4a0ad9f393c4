"""The store redis: with a sentinel's master and in a cluster: all pieces of a file are in one slot."""

import os

import pytest

from gopher.config.settings import Settings
from gopher.files.names import job_folder, job_key
from gopher.files.pieces import PiecesStore
from gopher.files.sweeping import sweep
from gopher.files.uploads import claims, use_uploads
from gopher.jobs.job import new_job_id
from gopher.queue.store import Server

CONTENT = os.urandom(700_000)

pytestmark = pytest.mark.deep


def test_files_are_stored_listed_and_removed(topology, namespace):
    environ = {"REDIS_URL": topology.url, "GOPHER_NAMESPACE": namespace, "REDIS_TIMEOUT": "60s"}
    settings = Settings.from_env(environ)
    with Server(settings, connections=4) as server:
        store = PiecesStore(settings, server)
        jobs = [new_job_id() for _ in range(20)]
        for job in jobs:
            store.write(job_key(job, "a.bin"), [CONTENT], limit=10**6)
        assert b"".join(store.read(job_key(jobs[0], "a.bin"), 262_000, 600_000)) == CONTENT[262_000:600_000]
        assert [each.size for each in store.list(job_folder(jobs[7]))] == [len(CONTENT)]
        assert len(list(store.list("jobs/"))) == 20
        use_uploads(store, server, "", {}, jobs)
        assert claims(server, "uploads/none") == set()
        assert sweep(store, server, grace=-60).files == 20
        assert list(store.list("jobs/")) == []
        assert store.remove_abandoned(age=-60) == 0
        assert server.client.hgetall(server.keys.file_bytes) == {b"total": b"0"}

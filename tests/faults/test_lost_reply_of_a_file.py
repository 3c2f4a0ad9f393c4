"""The server has made a file visible, and its reply is lost: the file is whole, and nothing stays for ever."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.files.names import job_key
from gopher.files.pieces import PiecesStore
from gopher.files.store import StoreFull, StoreUnavailable
from gopher.jobs.job import new_job_id
from gopher.server.embedded import EmbeddedServer
from tests.faults.proxy import Proxy
from tests.worker.processes import patient_client

#: Without the name of the command that is looked for.
CONTENT = bytes(range(32)) * 20_000


@pytest.fixture(scope="module")
def reached(seed) -> Iterator[tuple[PiecesStore, PiecesStore, Proxy]]:
    """A store in a server, reached directly and through a proxy."""
    with (
        tempfile.TemporaryDirectory(prefix="gopher-lost-") as name,
        EmbeddedServer(Path(name) / "s") as running,
        Proxy(Path(name), running.socket_path, seed=seed) as proxy,
        patient_client(running.url) as near,
        patient_client(proxy.url) as far,
    ):
        yield PiecesStore(Settings(), near.server), PiecesStore(Settings(), far.server), proxy


def content_of(store: PiecesStore, key: str) -> bytes:
    with store.read(key) as reading:
        return b"".join(reading)


def test_a_file_of_which_only_the_reply_was_lost_is_whole(reached):
    near, far, proxy = reached
    key = job_key(new_job_id(), "result.bin")
    near.write(key, [b"before"], limit=100)
    proxy.shoot("drop_reply", match="HSET")
    with pytest.raises(StoreUnavailable):
        far.write(key, [CONTENT], limit=1_000_000)
    assert proxy.done("drop_reply") == 1
    assert content_of(near, key) == CONTENT
    # What it has replaced.
    assert near.remove_abandoned(age=-60) == 1
    assert content_of(near, key) == CONTENT


def test_a_file_that_could_not_become_visible_takes_no_room_for_ever(reached):
    near, far, proxy = reached
    key = job_key(new_job_id(), "result.bin")
    proxy.shoot("cut_request", match="HSET", size=3)
    with pytest.raises(StoreUnavailable):
        far.write(key, [CONTENT], limit=1_000_000)
    assert near.stat(key) is None
    assert near.remove_abandoned(age=-60) == 1


def test_a_file_that_a_full_server_refuses_takes_no_room(reached):
    near, far, proxy = reached
    key = job_key(new_job_id(), "result.bin")
    proxy.shoot("inject", match="HSET", text="OOM command not allowed when used memory > 'maxmemory'.")
    with pytest.raises(StoreFull):
        far.write(key, [CONTENT], limit=1_000_000)
    assert near.stat(key) is None
    assert near.remove_abandoned(age=-60) == 0

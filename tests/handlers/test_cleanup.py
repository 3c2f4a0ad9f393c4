"""Cleaning up for real: records in a server, files in a folder."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gopher.config.settings import Settings
from gopher.errors import InvalidJob
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Failure
from gopher.queue.keys import Keys
from gopher.queue.store import Server


@pytest.fixture
def queues(redis_url: str, namespace: str, files_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection to the real server, which the environment names for handlers as well."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("GOPHER_NAMESPACE", namespace)
    server = Server(Settings.from_env())
    yield server
    server.close()


def aged_file(folder: Path, name: str, days: float, content: bytes = b"12345") -> Path:
    path = folder / name
    path.write_bytes(content)
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def seed_dead_letter(server: Server, queue: str) -> str:
    """Enqueue a job, fetch it and let it fail for good."""
    job_id = new_job_id()
    server.register_queues(queue)
    moves = server.queue(queue)
    server.run(moves.enqueue([NewJob(id=job_id, type="broken", envelope=b"{}", queue=queue)]))
    server.run(moves.heartbeat("w1", 60.0, first=True))
    fetched = server.run(moves.fetch("w1", 1, 1, "hnl", strict=False))
    (job,) = fetched.jobs
    failure = Failure(job.id, job.token, 1.0, error=b"{}", row=b"{}", log=b"", crash="")
    server.run(moves.dead_letter("w1", failure, "ValueError"))
    assert server.client.zcard(Keys(server.settings.namespace).for_queue(queue).failed)
    return job_id


def test_deletes_old_files_that_gopher_wrote_and_no_others(run: Any, queues: Server, files_folder: Path) -> None:
    old, other_old, half = new_job_id(), new_job_id(), new_job_id()
    gone = [
        aged_file(files_folder, f"{old}-200x100.jpg", 8),
        aged_file(files_folder, f"{other_old}-daily_summary.html", 8),
        aged_file(files_folder, f".{half}-200x100.png.abc123_x.tmp", 8),
    ]
    (files_folder / "folder").mkdir()
    kept = [
        aged_file(files_folder, f"{new_job_id()}-200x100.jpg", 6),
        aged_file(files_folder, "photo.jpg", 800),
        aged_file(files_folder, f"{old}-notes.txt", 800),
        aged_file(files_folder, f"folder/{new_job_id()}-1x1.jpg", 800),
    ]
    link = files_folder / f"{new_job_id()}-1x1.jpg"
    link.symlink_to(kept[1])
    os.utime(link, (0, 0), follow_symlinks=False)

    result = run("cleanup", {})

    assert (result["files"], result["bytes_freed"]) == (3, 15)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*kept, link])
    assert run("cleanup", {})["files"] == 0


def test_takes_the_age_from_the_payload(run: Any, queues: Server, files_folder: Path) -> None:
    aged_file(files_folder, f"{new_job_id()}-1x1.jpg", 2)
    assert run("cleanup", {"files_older_than": "3d"})["files"] == 0
    assert run("cleanup", {"files_older_than": 86400})["files"] == 1


def test_prunes_dead_letters_of_every_queue(run: Any, queues: Server) -> None:
    for queue in ("first", "second", "second"):
        seed_dead_letter(queues, queue)
    assert run("cleanup", {})["dead_letters"] == 0
    result = run("cleanup", {"dead_older_than": 0})
    assert (result["queues"], result["dead_letters"]) == (2, 3)
    assert run("cleanup", {"dead_older_than": 0})["dead_letters"] == 0


def test_prunes_more_records_than_one_step_takes(run: Any, queues: Server) -> None:
    keys = queues.keys.for_queue("default")
    queues.register_queues("default")
    # An index entry whose record has run out.
    queues.client.zadd(keys.finished, {f"gone-{number}": number for number in range(2500)})
    assert run("cleanup", {})["results"] == 2500
    assert queues.client.zcard(keys.finished) == 0


@pytest.mark.parametrize(
    "payload",
    [{"files_older_than": "soon"}, {"files_older_than": -1}, {"dead_older_than": "1 week"}, {"files": "7d"}],
)
def test_refuses_an_age_that_is_no_duration(run: Any, payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        run("cleanup", payload)

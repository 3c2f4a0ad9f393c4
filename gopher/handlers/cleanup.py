"""`cleanup`: deletes old records of all queues, and old files of the store.

The scheduler also prunes records, a few at a time; this prunes all at once, and returns how many.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gopher.base.durations import parse_duration
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job

from . import files

if TYPE_CHECKING:
    from gopher.queue.store import Server

#: Records scanned per call, so that the server is never blocked for long.
STEP = 1000


class Cleanup(msgspec.Struct, forbid_unknown_fields=True):
    """What to delete: files and dead letters older than a duration (a number is seconds).

    `dead_older_than` defaults to GOPHER_DEAD_TTL. Only files written by Gopher are deleted.
    """

    files_older_than: str | float = "7d"
    dead_older_than: str | float | None = None

    def __post_init__(self) -> None:
        for name in ("files_older_than", "dead_older_than"):
            value = getattr(self, name)
            if value is not None:
                _check_duration(name, value)


def _check_duration(name: str, value: str | float) -> None:
    try:
        parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@handler("cleanup", timeout="10m", needs="admin")
def cleanup(job: Job, payload: Cleanup) -> dict[str, Any]:
    """Prunes old results, dead letters, and files written by handlers."""
    from gopher.config.settings import Settings
    from gopher.queue.store import Server

    with Server(Settings.from_env(), connections=1) as server:
        job.progress(0.0, "records")
        pruned = prune_records(job, server, payload.dead_older_than)
        job.progress(0.8, "files")
        deleted, freed = delete_files(server, parse_duration(payload.files_older_than))
    job.progress(1.0, "done")
    return {**pruned, "files": deleted, "bytes_freed": freed}


def prune_records(job: Job, server: "Server", dead_older_than: str | float | None) -> dict[str, int]:
    """Prune every queue; return how many results and dead letters were deleted."""
    dead_ttl = server.settings.dead_ttl if dead_older_than is None else parse_duration(dead_older_than)
    queues = server.queues()
    totals = {"queues": len(queues), "results": 0, "dead_letters": 0}
    for number, queue in enumerate(queues):
        job.progress(0.8 * number / len(queues), f"records of {queue}")
        for finished, dead in _prune(server, queue, dead_ttl):
            totals["results"] += finished
            totals["dead_letters"] += dead
    return totals


def _prune(server: "Server", queue: str, dead_ttl: float) -> Iterator[tuple[int, int]]:
    """Yield (results, dead letters) deleted by each step, until both are finished."""
    place = 0
    while True:
        pruned = server.run(server.queue(queue).prune(place, dead_ttl, server.settings.dead_max, STEP))
        yield pruned.finished, pruned.dead
        place = pruned.place
        # Position 0 is the end of the index, but also the position after a step that has emptied the start of it.
        if place == 0 and pruned.finished < STEP and pruned.dead < STEP:
            return


def delete_files(server: "Server", age: float) -> tuple[int, int]:
    """Delete stored files that nothing needs, or older than `age` seconds; return how many, and their bytes."""
    from gopher.files.opening import open_store
    from gopher.files.sweeping import sweep

    store = open_store(server.settings, server)
    try:
        swept = sweep(store, server, older_than=age)
    finally:
        store.close()
    count, freed = delete_earlier(files.files_folder(), age)
    return swept.files + count, swept.bytes + freed


def delete_earlier(folder: Path, age: float) -> tuple[int, int]:
    """Delete old files that handlers of earlier versions have written to a folder, as above."""
    count = freed = 0
    oldest = time.time() - age
    with os.scandir(folder) as entries:
        for entry in entries:
            if not files.is_ours(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            status = entry.stat(follow_symlinks=False)
            if status.st_mtime < oldest:
                # Another cleanup may have deleted it.
                Path(entry.path).unlink(missing_ok=True)
                count, freed = count + 1, freed + status.st_size
    return count, freed

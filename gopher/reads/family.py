"""The jobs that a job waits for, and those that wait for it: links for its page."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gopher.base.names import JOB_ID
from gopher.base.salvage import text
from gopher.jobs.models import JobView
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .jobs import Inspector

#: How many of each are shown.
SHOWN = 20


class Relative(NamedTuple):
    """A parent or child; `job` is None once its record is deleted."""

    job_id: str
    job: JobView | None


class Family(NamedTuple):
    """The first parents and children of a job, and how many there are."""

    parents: list[Relative]
    parent_count: int
    children: list[Relative]
    child_count: int


def family(server: Server, inspector: Inspector, queue: str, job_id: str) -> Family:
    """Return the relatives of a job.

    The children of a job that waits or runs are in its record and its list; those of a completed one, whose result they
    read, are its readers.
    """
    keys = server.keys.for_queue(queue)
    with explained():
        record, children, readers, child_count, reader_count = ask(
            server.client,
            [
                ("HMGET", keys.job(job_id), "parents", "children", "readers"),
                ("LRANGE", keys.children(job_id), 0, SHOWN - 1),
                ("LRANGE", keys.readers(job_id), 0, SHOWN - 1),
                ("LLEN", keys.children(job_id)),
                ("LLEN", keys.readers(job_id)),
            ],
        )
    parents, named, earlier_readers = (_ids(value) for value in record)
    found = list(dict.fromkeys([*named, *earlier_readers, *_listed(children), *_listed(readers)]))
    count = len(named) + len(earlier_readers) + child_count + reader_count
    return Family(
        _relatives(inspector, queue, parents[:SHOWN]),
        len(parents),
        _relatives(inspector, queue, found[:SHOWN]),
        max(count, len(found)) if found else 0,
    )


def _ids(joined: bytes | None) -> list[str]:
    """Return the ids in a field; it may also say that they are in a list."""
    return [name for name in text(joined or b"").split(",") if JOB_ID.fullmatch(name)]


def _listed(ids: Iterable[bytes]) -> list[str]:
    return [name for name in map(text, ids) if JOB_ID.fullmatch(name)]


def _relatives(inspector: Inspector, queue: str, ids: Sequence[str]) -> list[Relative]:
    near = {view.job_id: view for view in inspector.views([(queue, job_id) for job_id in ids])}
    # Those that are not in this queue may be in another one.
    return [Relative(job_id, near.get(job_id) or inspector.job(job_id)) for job_id in ids]

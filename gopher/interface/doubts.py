"""Warnings about names that seem to be misspelt: they are accepted, since a worker that knows them may start later."""

from collections.abc import Iterable

from gopher.base.near import did_you_mean

from .complete import Gopher


def doubt_about_type(gopher: Gopher, job_type: str) -> str:
    """Return a warning for a type that no handler here and no live worker has, "" if one has it."""
    known = {view.name for view in gopher.types()}
    if job_type in known:
        return ""
    return _doubt(
        f"no live worker has a handler for {job_type!r}", job_type, known.union(*_of_workers(gopher, "types"))
    )


def doubt_about_queue(gopher: Gopher, queue: str) -> str:
    """Return a warning for a queue that does not exist, and that no live worker serves."""
    known = set(gopher.stats().queues)
    if queue in known:
        return ""
    return _doubt(f"there was no queue {queue!r}", queue, known.union(*_of_workers(gopher, "queues")))


def _of_workers(gopher: Gopher, names: str) -> Iterable[list[str]]:
    return [getattr(worker, names) for worker in gopher.workers()]


def _doubt(problem: str, name: str, known: set[str]) -> str:
    if name in known:
        return ""
    near = did_you_mean(name, known)
    return f"{problem}: {near}" if near else problem

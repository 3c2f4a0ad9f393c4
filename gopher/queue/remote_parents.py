"""Finds jobs that others wait for in other queues, and batches."""

from collections.abc import Sequence

from gopher.base.salvage import is_corrupt, text
from gopher.jobs.job import NewJob
from gopher.jobs.owners import Submitter, whose
from gopher.server.errors import explained
from gopher.server.round_trips import ask_rows

from .keys import QueueKeys
from .search import queues_with
from .store import Server


def find_parents(
    server: Server, jobs: Sequence[NewJob], wanted: Sequence[tuple[int, str, str]], submitter: Submitter
) -> dict[tuple[int, str], str]:
    """Return (index of a job, parent) -> queue of the parent, without those that do not exist or are not visible.

    `wanted` has the index of a job, its queue, and the parent. That may be an earlier job of the submission.
    """
    submitted = {job.id: (index, job.queue) for index, job in enumerate(jobs)}
    found: dict[tuple[int, str], str] = {}
    stored: dict[str, str | None] = {}
    for index, _, parent in wanted:
        at, queue = submitted.get(parent, (index, ""))
        if at < index:
            found[index, parent] = queue
            continue
        if parent not in stored:
            stored[parent] = find_parent(server, parent, submitter)
        if place := stored[parent]:
            found[index, parent] = place
    return found


def find_parent(server: Server, parent: str, submitter: Submitter) -> str | None:
    """Return the queue of a job, or of a batch, that the submitter may wait for."""
    with explained():
        for names in server.names.where_to_look(parent):
            for key_of in (lambda keys: keys.job(parent), lambda keys: keys.batch(parent)):
                # As many commands if there is none: the time of an answer must not tell whether there is one.
                for name in queues_with(server, names, key_of, alike=True) or names[:1]:
                    if _is_visible(server, server.keys.for_queue(name), parent, submitter):
                        return name
    return None


def _is_visible(server: Server, keys: QueueKeys, parent: str, submitter: Submitter) -> bool:
    """Return whether there is a job or batch in a queue that the submitter may wait for."""
    commands = [("HMGET", keys.job(parent), "type", "envelope"), ("HMGET", keys.batch(parent), "created", "owner")]
    job, batch = ask_rows(server.client, commands)
    if is_corrupt(job) or any(each is not None for each in job):
        kind, envelope = (None, None) if is_corrupt(job) else job
        return submitter.may_see(keys.queue, text(kind or b""), whose(envelope or b""))
    if is_corrupt(batch):
        return submitter.may_use_batch("")
    created, owner = batch
    return created is not None and submitter.may_use_batch(text(owner or b""))

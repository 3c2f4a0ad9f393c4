"""Removes stored files that nothing needs: those of jobs whose records are gone, and uploads that no job can use.

Files are kept as long as their jobs, so what decides is whether a job's record exists, not the age of a file. That
would be wrong in a store that another installation uses too, whose jobs are on another server. So each installation
leaves a mark in the store, and while there is a fresh one of another, nothing is removed.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import NamedTuple

from gopher.base.names import JOB_ID
from gopher.jobs.job import HINT_DIGITS, queue_hint, read_envelope
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask
from gopher.telemetry.loggers import get_logger

from .large_payloads import LATER_PAYLOAD, PAYLOAD, payload_file
from .names import INSTALLATIONS, JOBS, UPLOADS
from .store import ABANDONED, Store, StoredFile
from .uploads import REMEMBERED, claims, remember

log = get_logger("files")

#: Seconds for which files are kept in any case.
GRACE = 300.0
#: Seconds for which the mark of an installation counts.
FRESH = 7 * 86400.0
_TOGETHER = 500


class Swept(NamedTuple):
    """What a sweep has removed."""

    files: int
    bytes: int
    #: Whether nothing was, since another installation uses the store.
    is_shared: bool = False


def sweep(store: Store, server: Server, *, older_than: float | None = None, grace: float = GRACE) -> Swept:
    """Remove what is not needed; with `older_than` (s) also older files of jobs that exist. Raises StoreError."""
    now = time.time()
    store.remove_abandoned(ABANDONED)
    if others := _others(store, server, now):
        log.warning(
            "stored files are not removed: another installation, or this one before its server was emptied, has used "
            "the same store within a week; give each installation a folder, bucket or prefix of its own",
            store=store.url,
            others=",".join(others),
        )
        return Swept(0, 0, is_shared=True)
    files = size = 0
    # Each some after they were looked at: a job that is submitted again meanwhile brings its files along.
    for file in chain(_of_jobs(store, server, now, older_than, grace), _uploads(store, server, now, grace)):
        if store.delete(file.key):
            files, size = files + 1, size + file.size
    return Swept(files, size)


def _others(store: Store, server: Server, now: float) -> list[str]:
    """Mark the store as used by this installation, and return the ids of others that use it."""
    if store.url == "redis:":
        # Its files are below the same prefix as the jobs.
        return []
    server.look_for_mark()
    own, others = server.installation.id, []
    for mark in store.list(f"{INSTALLATIONS}/"):
        if mark.name == own:
            continue
        if mark.modified > now - FRESH:
            others.append(mark.name)
        else:
            store.delete(mark.key)
    if own and (others or next(store.list(f"{JOBS}/"), None) or next(store.list(f"{UPLOADS}/"), None)):
        store.write(f"{INSTALLATIONS}/{own}", [b""], limit=0)
    return others


def _of_jobs(store: Store, server: Server, now: float, older_than: float | None, grace: float) -> Iterator[StoredFile]:
    """Yield files of jobs that are not needed, and renew the others."""
    files = store.list(f"{JOBS}/")
    while some := list(islice(files, _TOGETHER)):
        of_job = {file.key: file.key.split("/")[1] for file in some}
        alive = existing(server, set(of_job.values()))
        current = _current_payloads(server, {of_job[file.key] for file in some if LATER_PAYLOAD.fullmatch(file.name)})
        for file in some:
            job_id = of_job[file.key]
            # A payload is needed as long as its job, unless it was replaced by another.
            is_payload = file.name == PAYLOAD or LATER_PAYLOAD.fullmatch(file.name) is not None
            is_old = older_than is not None and file.modified < now - older_than and not is_payload
            is_needed = job_id in alive and not (is_payload and current.get(job_id, file.name) != file.name)
            if is_old or (not is_needed and file.modified < now - grace):
                yield file
            else:
                store.renew(file.key)


def _current_payloads(server: Server, job_ids: Iterable[str]) -> dict[str, str]:
    """Return the name of the file that has the payload now, "" for none, of each job that is found."""
    pairs = [(job_id, name) for job_id in job_ids for name in server.queues()]
    with explained():
        keys = server.keys
        found = ask(server.client, [("HGET", keys.for_queue(name).job(job_id), "envelope") for job_id, name in pairs])
    return {
        job_id: payload_file(read_envelope(envelope))
        for (job_id, _), envelope in zip(pairs, found, strict=True)
        if envelope is not None
    }


def _uploads(store: Store, server: Server, now: float, grace: float) -> Iterator[StoredFile]:
    """Yield uploads that can't be used any more, and that no job has."""
    # A submission that has just found the upload is stored before the grace has passed.
    oldest = now - server.settings.upload_ttl - grace
    for file in store.list(f"{UPLOADS}/"):
        is_usable = file.modified > oldest
        if is_usable or existing(server, claims(server, file.key)):
            store.renew(file.key)
            # Who uses a new one was remembered just now.
            if not is_usable or file.modified < now - REMEMBERED / 2:
                remember(server, file.key)
            continue
        yield file
        with suppress(Exception), explained():
            # Otherwise it expires.
            server.client.delete(server.keys.claims(file.key))


def existing(server: Server, job_ids: Iterable[str]) -> set[str]:
    """Return those ids of which there is a job, or one is on its way to another queue."""
    names = server.queues()
    by_hint: dict[str, list[str]] = {}
    for name in names:
        by_hint.setdefault(queue_hint(name), []).append(name)
    ids = {job_id for job_id in job_ids if JOB_ID.fullmatch(job_id)}
    hinted = {job_id: by_hint.get(job_id[-HINT_DIGITS:], []) for job_id in ids}
    found = _found(server, hinted)
    # They were moved, or their ids were created elsewhere.
    return found | _found(server, dict.fromkeys(ids - found, names))


def _found(server: Server, places: dict[str, list[str]]) -> set[str]:
    pairs = [(job_id, name) for job_id, names in places.items() for name in names]
    keys = {name: server.keys.for_queue(name) for _, name in pairs}
    asked = [("EXISTS", keys[name].job(job_id), keys[name].moved(job_id)) for job_id, name in pairs]
    with explained():
        counts = ask(server.client, asked)
    return {job_id for (job_id, _), count in zip(pairs, counts, strict=True) if count}

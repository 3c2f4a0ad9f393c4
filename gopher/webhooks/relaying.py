"""Turns the ends of jobs into jobs that deliver messages, as a part of the relay of a queue's outbox."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from gopher.config.settings import Settings
from gopher.jobs.job import NewJob
from gopher.queue.api_keys import UNREAD
from gopher.queue.deliveries import Entry
from gopher.queue.keys import Keys
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.queue.webhooks import StoredWebhook, read_webhooks
from gopher.server.calls import Command, Sendable

from .messages import End, delivery_job, targets

#: The latest deliveries of a webhook that are kept in its list.
LISTED = 200
#: Records that are read per call, and bytes of deliveries that are stored: a record may have half a megabyte.
_READ, _SENT = 20, 2_000_000


class WebhookRelay:
    """Creates the deliveries. It has the webhooks in memory, and reads them again when they have changed."""

    def __init__(self, server: Server) -> None:
        self._settings: Settings = server.settings
        self._keys: Keys = server.keys
        self._queue: Queue = server.queue(server.settings.webhooks_queue)
        self._version = UNREAD
        self._webhooks: Mapping[str, StoredWebhook] = {}

    def steps(self, source: Queue, entries: Sequence[Entry]) -> Generator[Sendable, Any, None]:
        """Yield the calls that deliver entries of the outbox of a queue (see `queue.deliveries`)."""
        found = yield read_webhooks(self._keys, self._version)
        if found.webhooks is not None:
            self._version, self._webhooks = found.version, found.webhooks
        ends = yield from self._complete(source, [End.of(entry, source.name) for entry in entries])
        deliveries = [(end, target) for end in ends for target in targets(end, self._webhooks)]
        if not deliveries:
            return
        yield from self._open()
        jobs = [delivery_job(end, target, self._settings) for end, target in deliveries]
        for some in _pieces(jobs):
            yield self._queue.enqueue(some)
        latest: dict[str, list[str]] = {}
        for job, (end, target) in zip(jobs, deliveries, strict=True):
            if target.webhook:
                latest.setdefault(target.webhook, []).extend((str(end.at), job.id))
        for webhook_id, rows in latest.items():
            key = self._keys.webhook_deliveries(webhook_id)
            yield Command(key, ("ZADD", key, *rows))
            yield Command(key, ("ZREMRANGEBYRANK", key, "0", str(-LISTED - 1)))

    def _complete(self, source: Queue, ends: list[End]) -> Generator[Sendable, Any, list[End]]:
        """Return ends with what the records have of them and the entries have not."""
        wanted = [place for place, end in enumerate(ends) if self._needs_record(end)]
        if not wanted:
            return ends
        for some in (wanted[at : at + _READ] for at in range(0, len(wanted), _READ)):
            rows = yield source.read_fields([ends[place].job_id for place in some], ("envelope", "result"))
            for place, (envelope, result) in zip(some, rows, strict=True):
                end = ends[place]
                ends[place] = end._replace(envelope=end.envelope or _text(envelope), result=end.result or _text(result))
        return ends

    def _needs_record(self, end: End) -> bool:
        if end.is_of_batch:
            return False
        return not end.envelope or (not end.result and any("result" in each.include for each in self._targets(end)))

    def _targets(self, end: End) -> list[Any]:
        return list(targets(end, self._webhooks))

    def _open(self) -> Generator[Sendable, Any, None]:
        """Register the queue of deliveries, and have workers serve it."""
        keys = self._keys
        yield Command(keys.meta, ("HSETNX", keys.meta, "webhooks", "1"))
        is_new = yield Command(keys.queues, ("SADD", keys.queues, self._queue.name))
        if is_new:
            yield Command(keys.alarm, ("LPUSH", keys.alarm, self._queue.name))
            yield Command(keys.alarm, ("LTRIM", keys.alarm, "0", "0"))


def _pieces(jobs: Sequence[NewJob]) -> Iterator[list[NewJob]]:
    """Yield jobs by some megabytes: messages may have payloads, and there may be very many receivers."""
    piece: list[NewJob] = []
    size = 0
    for job in jobs:
        if piece and size + len(job.envelope) > _SENT:
            yield piece
            piece, size = [], 0
        piece.append(job)
        size += len(job.envelope)
    yield piece


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")

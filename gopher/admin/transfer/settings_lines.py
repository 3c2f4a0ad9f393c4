"""The lines of an export that do not belong to jobs: limits, tenants, webhooks, schedules, keys, ..."""

import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from gopher.admin.limits import Flow
from gopher.base.salvage import order, text
from gopher.queue.api_keys import read_keys
from gopher.queue.inherit_limits import tenant_settings
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.queue.webhooks import CALLBACKS, disabled_field, read_webhooks, stored_callback_secrets
from gopher.reads.schedules import StoredSchedules
from gopher.server.calls import Command
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_groups

from .lines import ApiKeyLine, BatchLine, LimitLine, RequestLine, ScheduleLine, TenantLine, WebhookLine

#: Keys per round trip.
_TOGETHER = 500


def limit_lines(server: Server, queues: Collection[str]) -> list[LimitLine]:
    """Return the limits that operators have set, and paused types; each is the same in all queues."""
    lines: dict[str, LimitLine] = {}
    for view in Flow(server).limits(queues):
        line = lines.setdefault(view.type, LimitLine(view.type))
        line.paused = line.paused or view.paused
        if view.origin == "api" and line.rate is None and line.concurrency is None:
            line.rate, line.burst, line.concurrency = view.rate, view.burst, view.concurrency
            line.per_key = view.per_key
    return [line for line in lines.values() if line.paused or line.rate or line.concurrency]


def tenant_lines(server: Server) -> list[TenantLine]:
    """Return what operators have set for tenants."""
    with explained():
        found = tenant_settings(server.client, server.keys)
    return [
        TenantLine(tenant, each.weight, each.rate, each.burst, each.concurrency)
        for tenant, each in sorted(found.items())
    ]


def webhook_lines(server: Server) -> list[WebhookLine]:
    """Return the webhooks that can be read, and the secret of callbacks if it was ever needed."""
    found = (server.run(read_webhooks(server.keys)).webhooks or {}).items()
    lines = [
        WebhookLine(webhook_id, text(each.stored), disabled_field(each))
        for webhook_id, each in found
        if each.record is not None
    ]
    stored, secret = stored_callback_secrets(server)
    return lines if secret is None else [*lines, WebhookLine(CALLBACKS, text(stored))]


def batch_lines(server: Server, queues: Sequence[str]) -> Iterator[BatchLine]:
    """Yield the batches of queues, and their jobs."""
    for queue in queues:
        keys = server.keys.for_queue(queue)
        with explained():
            (ids,) = ask(server.client, [("ZRANGE", keys.batches, 0, -1)])
        for batch_id in map(text, ids):
            with explained():
                (record,) = ask(server.client, [("HGETALL", keys.batch(batch_id))])
            if record:
                yield from _batch(server, keys, batch_id, {text(name): text(value) for name, value in record.items()})


def _batch(server: Server, keys: QueueKeys, batch_id: str, record: dict[str, str]) -> Iterator[BatchLine]:
    sealed_at, cursor = record.pop("sealed_at", ""), -1
    # Counts are made of the jobs. What is done to all of them has to be started again.
    left_out = ("n:", "t:", "walk", "cursor")
    fields = {name: value for name, value in record.items() if not name.startswith(left_out)}
    while cursor != 0:
        with explained():
            cursor, found = server.client.hscan(keys.batch_jobs(batch_id), max(cursor, 0), count=_TOGETHER)
        jobs = {text(job_id): text(row) for job_id, row in found.items()}
        yield BatchLine(keys.queue, batch_id, fields, jobs, "" if cursor else sealed_at)
        fields = {}


def schedule_lines(server: Server, queues: Sequence[str]) -> Iterator[ScheduleLine]:
    """Yield the schedules of queues."""
    stored = StoredSchedules(server)
    with explained():
        found = ask(server.client, [("HKEYS", server.keys.for_queue(queue).schedules) for queue in queues])
    for name in sorted({text(name) for names in found for name in names}):
        for copy in stored.found(name).copies[:1]:
            keys = server.keys.for_queue(copy.queue)
            with explained():
                next_time, last = ask(server.client, [("ZSCORE", keys.ticks, name), ("HGET", keys.last, name)])
            yield ScheduleLine(
                name=name,
                queue=copy.destination,
                definition=copy.definition.decode(errors="replace"),
                version=copy.changed,
                next=None if next_time is None else order(next_time),
                last=text(last or b""),
            )


def request_lines(server: Server, queues: Sequence[str]) -> Iterator[list[RequestLine]]:
    """Yield what repeats of requests with idempotency keys are answered.

    No list has their keys, so all keys of the server are looked through.
    """
    space = re.escape(server.keys.namespace)
    name = re.compile(rf"{space}:\{{([^{{}}]+)\}}:{QueueKeys.idempotency.head}([0-9a-f]+)".encode())
    glob = re.sub(r"([\[\]*?\\])", r"\\\1", server.keys.namespace)
    keys = server.client.scan_iter(match=f"{glob}:{{*}}:{QueueKeys.idempotency.head}*", count=5000)
    places = ((text(found[1]), text(found[2])) for key in keys if (found := name.fullmatch(key)))
    wanted = (place for place in places if place[0] in queues)
    while some := list(islice(wanted, _TOGETHER)):
        yield list(_requests(server, some))


def _requests(server: Server, places: Sequence[tuple[str, str]]) -> Iterator[RequestLine]:
    groups: list[list[Words]] = []
    for queue, digest in places:
        keys = server.keys.for_queue(queue)
        key = keys.idempotency(digest)
        groups.append([("GET", key), ("PTTL", key), ("GET", keys.duplicates(digest))])
    with explained():
        found = ask_groups(server.client, groups)
        now = now_at(server.client, server.keys.for_queue(places[0][0]).prefix)
    for (queue, digest), (value, left, duplicates) in zip(places, found, strict=True):
        if value is not None and left > 0:
            packed = b64encode(duplicates or b"").decode()
            yield RequestLine(queue, digest, text(value), now + left, packed)


def parent_results(
    server: Server, queue: str, parents: Sequence[str], now: int, *, patience: float
) -> dict[str, tuple[str, int]]:
    """Return the results of jobs of other queues that jobs of this one will read, and until when each is kept (ms)."""
    keys = [server.keys.for_queue(queue).parent_result(parent) for parent in parents]
    commands = [Command(key, (verb, key)) for key in keys for verb in ("GET", "PTTL")]
    found = iter(server.run_all(commands, patience=patience) if commands else ())
    results = zip(parents, found, found, strict=True)
    return {parent: (text(result), now + left) for parent, result, left in results if result is not None and left > 0}


def api_key_lines(server: Server) -> Iterator[ApiKeyLine]:
    """Yield the API keys on the server that can be read."""
    for digest, key in (read_keys(server).keys or {}).items():
        if key.record is not None:
            yield ApiKeyLine(digest.hex(), text(key.stored))

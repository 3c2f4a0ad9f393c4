"""Copies operators' limits and pauses of job types, and what they have set for tenants, to new queues."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from gopher.base.rates import parse_rate
from gopher.base.salvage import Salvage, finite, is_corrupt, replies, reply, text, whole
from gopher.jobs.limit import Limit
from gopher.jobs.tenants import TenantSettings
from gopher.server.calls import Call

from .keys import Keys, QueueKeys
from .moves import Queue

_SETTINGS = msgspec.json.Decoder(TenantSettings).decode


def inherit_limits(client: Any, keys: Keys, queues: Sequence[Queue]) -> Iterator[tuple[str, list[Call]]]:
    """Yield for each new queue the calls, if any, that set what an operator has set for types and tenants.

    Limits of types are read from any other queue: each has all of them, since it inherited them when it was new. Those
    declared by handlers are set by the workers of each queue.
    """
    other = client.srandmember(keys.queues)
    rows = [] if other is None else _limits_in(client, keys.for_queue(text(other)))
    tenants = tenant_settings(client, keys)
    for queue in queues:
        calls = [call for row in rows for call in _calls(queue, *row)]
        calls += [tenant_call(queue, tenant, settings) for tenant, settings in tenants.items()]
        if calls:
            yield queue.name, calls


def tenant_settings(client: Any, keys: Keys) -> dict[str, TenantSettings]:
    """Return what is set for tenants; corrupt settings are skipped."""
    found = reply(client.hgetall, keys.tenants)
    rows = {} if is_corrupt(found) else found
    read = {text(tenant): Salvage().read("tenant", partial(_SETTINGS, value), None) for tenant, value in rows.items()}
    return {tenant: settings for tenant, settings in read.items() if settings is not None}


def tenant_call(queue: Queue, tenant: str, settings: TenantSettings | None) -> Call:
    """Return the call that has a queue serve a tenant by its settings, None for the default."""
    if settings is None:
        return queue.set_tenant(tenant, None, None, None, None)
    rate = None if settings.rate is None else parse_rate(settings.rate).per_second
    return queue.set_tenant(tenant, settings.weight, rate, settings.burst, settings.concurrency)


def _limits_in(client: Any, known: QueueKeys) -> list[tuple[str, Limit | None, bool]]:
    """Return the types, their limits set by an operator, and whether they are paused.

    Corrupt ones are skipped: they are not a reason to reject a job.
    """
    found = reply(client.smembers, known.limited)
    types = [] if is_corrupt(found) else sorted(map(text, found))
    pipe = client.pipeline(transaction=False)
    for name in types:
        pipe.hmget(known.limit(name), "rate", "burst", "concurrency", "origin", "paused", "per_key")
    rows = zip(types, replies(pipe) if types else [], strict=True)
    return [(name, Salvage().read("limit", partial(_limit, row), None), _paused(row)) for name, row in rows]


def _limit(row: Sequence[bytes | None]) -> Limit | None:
    rate, burst, concurrency, origin, _, per_key = row
    if origin != b"api":
        return None
    running = None if concurrency is None else whole(concurrency)
    return Limit(_number(rate), _number(burst), running, per_key is not None)


def _number(value: bytes | None) -> float | None:
    return None if value is None else finite(value)


def _paused(row: Any) -> bool:
    return not is_corrupt(row) and row[4] is not None


def _calls(queue: Queue, job_type: str, limit: Limit | None, paused: bool) -> Iterator[Call]:
    if limit is not None:
        yield queue.set_limit(job_type, *limit)
    if paused:
        yield queue.pause(job_type)

"""What operators set for tenants. It applies to every queue, also to later ones; each queue counts separately."""

from collections.abc import Sequence

import msgspec

from gopher.base.names import TENANT, check_name
from gopher.base.rates import format_rate
from gopher.errors import InvalidJob
from gopher.jobs.limit import Limit, make_limit
from gopher.jobs.tenants import HEAVIEST, TenantSet, TenantSettings, TenantView
from gopher.queue.inherit_limits import tenant_call, tenant_settings
from gopher.queue.store import Server
from gopher.reads.tenants import running_by_tenant, waiting_by_tenant
from gopher.server.errors import explained

#: Maximum number of tenants that are listed.
_LISTED = 1000
_NOTHING = TenantSettings()


def tenants(server: Server) -> list[TenantView]:
    """Return tenants with settings or unfinished jobs, those with the most waiting jobs first."""
    with explained():
        queues = [server.keys.for_queue(name) for name in server.queues()]
        settings = tenant_settings(server.client, server.keys)
        waiting = waiting_by_tenant(server, queues)
        running = running_by_tenant(server.client, queues)
    names = sorted({*settings, *waiting, *running}, key=lambda name: (-waiting[name], -running[name], name))
    return [
        TenantView(
            name, each.weight, each.rate, each.burst, each.concurrency, waiting=waiting[name], running=running[name]
        )
        for name in names[:_LISTED]
        for each in [settings.get(name, _NOTHING)]
    ]


def set_tenant(
    server: Server,
    queues: Sequence[str],
    tenant: str,
    weight: int,
    rate: str | None,
    burst: float | None,
    concurrency: int | None,
) -> TenantSet:
    """Set what a tenant gets, for every queue. Raises InvalidJob."""
    check_name(TENANT, tenant, "/tenant")
    if not 1 <= weight <= HEAVIEST:
        raise InvalidJob(f"is {weight}: must be from 1 to {HEAVIEST}", "/weight")
    try:
        limit = make_limit(rate, burst, concurrency) or Limit(None, None, None)
    except ValueError as error:
        field = next((name for name in ("burst", "concurrency") if name in str(error)), "rate")
        raise InvalidJob(str(error), f"/{field}") from None
    starts = None if limit.rate is None else format_rate(limit.rate)
    settings = TenantSettings(weight, starts, limit.burst, limit.concurrency)
    # First, so that a queue that is registered meanwhile has them too.
    server.write(
        server.keys.tenants, lambda: server.client.hset(server.keys.tenants, tenant, msgspec.json.encode(settings))
    )
    server.run_each([tenant_call(server.queue(name), tenant, settings) for name in queues])
    return TenantSet(tenant, weight, starts, limit.burst, limit.concurrency)


def clear_tenant(server: Server, queues: Sequence[str], tenant: str) -> bool:
    """Delete what is set for a tenant; return whether anything was."""
    check_name(TENANT, tenant, "/tenant")
    deleted = server.write(server.keys.tenants, lambda: server.client.hdel(server.keys.tenants, tenant))
    server.run_each([tenant_call(server.queue(name), tenant, None) for name in queues])
    return bool(deleted)

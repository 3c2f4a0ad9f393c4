"""Flow control by operators: limits of types, pauses of queues and types."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gopher.base.durations import in_seconds
from gopher.base.names import KEY, QUEUE_NAME, TENANT, TYPE_NAME, check_name
from gopher.base.rates import format_rate
from gopher.base.salvage import Salvage, finite, moment, text, whole
from gopher.errors import InvalidJob
from gopher.interface import FlowInterface
from gopher.jobs.limit import Limit, make_limit
from gopher.jobs.limit_view import LimitView, ThrottledKey
from gopher.jobs.registry import Registry
from gopher.jobs.tenants import TenantSet, TenantView
from gopher.queue.keys import held_tenant, tenant_held
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_rows

from .audit import audited
from .tenants import clear_tenant, set_tenant, tenants

#: How many of the keys that are throttled are listed.
_KEYS_SHOWN = 20
_FIELDS = ("rate", "burst", "concurrency", "origin", "paused", "held_until", "per_key")


@audited
class Flow(FlowInterface):
    """Limits and pauses. A limit of a type applies to every queue; each queue counts separately."""

    def __init__(self, server: Server, registry: Registry | None = None) -> None:
        self._server = server
        self._registry = registry

    # Limits

    def limits(self, queues: Collection[str] | None = None) -> list[LimitView]:
        """Return the types that are limited, paused or throttled, by queue and type; in some queues or in all."""
        names = self._server.queues() if queues is None else sorted(queues)
        with explained():
            found = list(self._limits_in(names)) if names else []
        # A type's entry remains after its throttling has ended.
        return [
            view
            for view in found
            if view.origin or view.paused or view.held_back_for or view.throttled_keys or view.corrupt
        ]

    def set_limit(
        self, job_type: str, rate: str | None, burst: float | None, concurrency: int | None, *, per_key: bool = False
    ) -> Limit:
        """Limit a type in every queue. Raises InvalidJob."""
        check_name(TYPE_NAME, job_type, "/type")
        try:
            limit = make_limit(rate, burst, concurrency, per_key=per_key)
        except ValueError as error:
            field = "/burst" if "burst" in str(error) else "/concurrency" if "concurrency" in str(error) else "/rate"
            raise InvalidJob(str(error), field) from None
        if limit is None:
            raise InvalidJob("is required, or a concurrency, or both", "/rate")
        self._write(job_type, limit, "api")
        return limit

    def clear_limit(self, job_type: str) -> bool:
        """Clear an operator's limit: the one declared by the handler applies again, if any.

        Returns whether the type was limited.
        """
        was_limited = any(view.type == job_type and (view.rate or view.concurrency) for view in self.limits())
        handler = self._registry.get(job_type) if self._registry else None
        self._write(job_type, Limit(None, None, None), "api")
        if handler is not None and handler.limit is not None:
            self._write(job_type, handler.limit, "handler")
        return was_limited

    def release(self, job_type: str, limit_key: str | None = None, tenant: str | None = None) -> int:
        """End what RateLimited has throttled of a type in every queue; returns how much was: keys, and the type."""
        check_name(TYPE_NAME, job_type, "/type")
        key = ""
        if limit_key is not None:
            check_name(KEY, key := limit_key, "/limit_key")
        if tenant is not None:
            if limit_key is not None:
                raise InvalidJob("can't be given together with limit_key", "/tenant")
            check_name(TENANT, tenant, "/tenant")
            key = held_tenant(tenant)
        calls = [self._server.queue(name).release(job_type, key) for name in self._queues()]
        return sum(self._server.run_each(calls))

    # Tenants

    def tenants(self) -> list[TenantView]:
        return tenants(self._server)

    def set_tenant(
        self,
        tenant: str,
        weight: int = 1,
        rate: str | None = None,
        burst: float | None = None,
        concurrency: int | None = None,
    ) -> TenantSet:
        """Set the weight and the limits of a tenant in every queue, also in later ones. Raises InvalidJob."""
        return set_tenant(self._server, self._queues(), tenant, weight, rate, burst, concurrency)

    def clear_tenant(self, tenant: str) -> bool:
        """Delete what is set for a tenant; returns whether anything was."""
        return clear_tenant(self._server, self._queues(), tenant)

    # Pauses

    def pause_queue(self, queue: str) -> bool:
        """Pause a queue; returns whether it was not paused before."""
        check_name(QUEUE_NAME, queue, "/queue")
        self._server.register_queues(queue)
        return bool(self._server.run(self._server.queue(queue).pause()))

    def resume_queue(self, queue: str) -> bool:
        check_name(QUEUE_NAME, queue, "/queue")
        return bool(self._server.run(self._server.queue(queue).resume()))

    def pause_type(self, job_type: str) -> bool:
        """Pause a type in every queue; returns whether it was not paused before."""
        check_name(TYPE_NAME, job_type, "/type")
        return any(self._server.run_each([self._server.queue(name).pause(job_type) for name in self._queues()]))

    def resume_type(self, job_type: str) -> bool:
        check_name(TYPE_NAME, job_type, "/type")
        return any(self._server.run_each([self._server.queue(name).resume(job_type) for name in self._queues()]))

    def paused_queues(self) -> list[str]:
        queues = self._server.queues()
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for queue in queues:
                pipe.exists(self._server.keys.for_queue(queue).paused)
            paused = pipe.execute() if queues else []
        return [queue for queue, is_paused in zip(queues, paused, strict=True) if is_paused]

    def _write(self, job_type: str, limit: Limit, origin: str) -> None:
        calls = [self._server.queue(name).set_limit(job_type, *limit, origin=origin) for name in self._queues()]
        self._server.run_each(calls)

    def _queues(self) -> Sequence[str]:
        queues = self._server.queues()
        if not queues:
            # Before the first job, so that the limit applies from that one on.
            queues = [*self._server.settings.queues[:1]] or ["default"]
            self._server.register_queues(*queues)
        return queues

    def _limits_in(self, queues: Sequence[str]) -> Iterator[LimitView]:
        client = self._server.client
        every = [self._server.keys.for_queue(queue) for queue in queues]
        now = now_at(client, self._server.keys.workers)
        types = ask(client, [("SMEMBERS", keys.limited) for keys in every])
        places = [
            (keys, name)
            for keys, members in zip(every, types, strict=True)
            for name in sorted(text(member) for member in members)
        ]
        commands: list[Words] = []
        for keys, name in places:
            commands += [
                ("HMGET", keys.limit(name), *_FIELDS),
                ("SCARD", keys.holding(name)),
                ("ZCOUNT", keys.held(name), f"({now}", "+inf"),
                ("ZRANGEBYSCORE", keys.held(name), f"({now}", "+inf", "WITHSCORES", "LIMIT", "0", str(_KEYS_SHOWN)),
            ]
        found = ask_rows(client, commands)
        for (keys, name), *answers in zip(places, *(found[at::4] for at in range(4)), strict=True):
            yield _view(keys.queue, name, *answers, now=now)


def _view(queue: str, job_type: str, row: Any, held: Any, keys: Any, first_keys: Any, *, now: int) -> LimitView:
    salvage = Salvage()
    read = salvage.read
    fields: dict[str, bytes | None] = read("limit", lambda: dict(zip(_FIELDS, row, strict=True)), {})
    rate, burst, concurrency, origin, paused, held_until, per_key = (fields.get(name) for name in _FIELDS)
    return LimitView(
        type=job_type,
        queue=queue,
        rate=read("rate", lambda: None if rate is None else format_rate(finite(rate)), None),
        burst=read("burst", lambda: None if burst is None else finite(burst), None),
        concurrency=read("concurrency", lambda: None if concurrency is None else whole(concurrency), None),
        running=read("running", lambda: int(held), 0),
        origin=read("origin", lambda: None if origin is None else origin.decode(), None),
        paused=paused is not None,
        per_key=per_key is not None,
        held_back_for=read("held_back_for", lambda: in_seconds(max(moment(held_until or b"0") - now, 0)), 0.0),
        throttled_keys=read("throttled", lambda: int(keys), 0),
        throttled=read("throttled", lambda: _keys(first_keys, now), []),
        corrupt=salvage.corrupt,
    )


def _keys(found: Any, now: int) -> list[ThrottledKey]:
    pairs = zip(found[0::2], found[1::2], strict=True)
    return [_throttled_key(text(key), in_seconds(round(finite(until)) - now)) for key, until in pairs]


def _throttled_key(member: str, seconds: float) -> ThrottledKey:
    tenant = tenant_held(member)
    return ThrottledKey("" if tenant is not None else member, seconds, tenant)

"""Job types for display."""

from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.rates import format_rate
from gopher.config.settings import Settings
from gopher.jobs.handlers import Handler
from gopher.jobs.job import Envelope
from gopher.jobs.models import TypeView
from gopher.jobs.options import resolve


def describe(handler: Handler, settings: Settings) -> TypeView:
    """Return the details of a handler's job type."""
    options, limit = resolve(Envelope(), handler, settings), handler.limit
    return TypeView(
        name=handler.name,
        description=handler.description,
        payload_schema=handler.payload_schema(),
        timeout=options.timeout,
        max_retries=options.max_retries,
        rate_limit=None if limit is None or limit.rate is None else format_rate(limit.rate),
        concurrency=None if limit is None else limit.concurrency,
        limit_per_key=limit is not None and limit.per_key,
        needs=handler.needs,
        queue=handler.queue or "default",
        priority=handler.priority or DEFAULT_PRIORITY,
        result_schema=None if handler.result is None else handler.result.schema(),
        tags=list(handler.tags),
        durability=handler.durability,
        preemptible=handler.preemptible,
    )

"""Webhooks: where they may lead, and how deliveries are sent."""

from gopher.config import kinds, webhook_kinds
from gopher.config.variables import group, setting


@group
class WebhookSettings:
    """Webhooks: where they may lead, and how deliveries are sent."""

    webhooks_queue: str = setting(
        "GOPHER_WEBHOOKS_QUEUE", webhook_kinds.QUEUE, "webhooks", "Queue of the jobs that deliver webhooks."
    )
    worker_webhooks: bool = setting(
        "WORKER_WEBHOOKS",
        kinds.BOOLEAN,
        "1",
        "Whether a worker also delivers webhooks, after the jobs of its WORKER_QUEUES; 0 if other workers serve their "
        "queue.",
    )
    webhooks_allow: tuple[str, ...] = setting(
        "GOPHER_WEBHOOKS_ALLOW",
        kinds.or_nothing(webhook_kinds.DESTINATIONS),
        "",
        "Private networks such as 10.0.0.0/8, and host:port pairs, that webhooks may be sent to.",
    )
    webhooks_timeout: float = setting(
        "GOPHER_WEBHOOKS_TIMEOUT",
        kinds.duration(above=0, most=60.0),
        "15s",
        "How long a receiver may take to respond to a delivery.",
    )
    webhooks_backoff: tuple[float, ...] = setting(
        "GOPHER_WEBHOOKS_BACKOFF",
        webhook_kinds.DURATIONS,
        "5s,30s,2m,10m,30m,1h,2h,4h,8h,12h",
        "Delays of the retries of a delivery, which also set how many there are.",
    )
    webhooks_concurrency: int = setting(
        "GOPHER_WEBHOOKS_CONCURRENCY",
        kinds.integer(1, 1000),
        "4",
        "Maximum number of deliveries to one receiver (host and port) at the same time.",
    )
    webhooks_disable_after: int = setting(
        "GOPHER_WEBHOOKS_DISABLE_AFTER",
        kinds.integer(1, 10**6),
        "20",
        "Number of consecutive deliveries that failed after all retries, after which a webhook is disabled.",
    )

"""The handler of the jobs that deliver webhooks. It is internal: workers have it beside those of users."""

import random
import time
from typing import NamedTuple

from gopher.base.printable import printable
from gopher.base.signatures import signed_headers
from gopher.config.settings import Settings
from gopher.errors import Discard, Retry
from gopher.jobs.callbacks import DELIVERY_TYPE
from gopher.jobs.handlers import handler
from gopher.jobs.job import Job
from gopher.jobs.registry import INTERNAL
from gopher.jobs.webhooks import Delivery
from gopher.outbound import fetching
from gopher.outbound.fetching import Answer, FetchFailed
from gopher.outbound.guard import FetchRefused, Guard
from gopher.queue.store import Server
from gopher.queue.webhooks import Outcome, Receiver, note_delivery, receiver_of

#: Bytes of a response that are read, and characters of it that are logged.
_MOST_READ, _MOST_SHOWN = 1024, 200
#: Seconds for which a child has the URL and the secret of a webhook.
_KEPT_FOR = 2.0
_GONE = 410
#: A retry comes later by up to this fraction of its delay, so that not all of them come together.
_JITTER = 0.2


class DeliveryFailed(Retry):
    """Raised when a receiver has not accepted a message: it is sent again later."""


class DeliveryRefused(Discard):
    """Raised when a message can't be sent, and sending it again later would not help."""


class _Kept(NamedTuple):
    receiver: Receiver
    until: float


_receivers: dict[str, _Kept] = {}


def register(settings: Settings) -> None:
    """Have this process run deliveries, a limited number at once to each receiver."""
    if INTERNAL.get(DELIVERY_TYPE) is None:
        register_as = handler(
            DELIVERY_TYPE, into=INTERNAL, concurrency=settings.webhooks_concurrency, limit_per_key=True
        )
        register_as(deliver)


def deliver(job: Job, payload: Delivery) -> dict[str, object]:
    """Delivers a message of a webhook to its receiver."""
    settings = Settings.from_env()
    receiver = _receiver(settings, payload)
    try:
        answer, seconds = _send(job, payload, receiver, settings)
    except (FetchRefused, DeliveryRefused):
        _note(settings, payload, receiver, "failed")
        raise
    if 200 <= answer.status < 300:
        if receiver.failures:
            _note(settings, payload, receiver, "delivered")
        return {"status": answer.status, "seconds": round(seconds, 3)}
    if answer.status == _GONE and payload.webhook:
        _note(settings, payload, receiver, "gone")
        raise DeliveryRefused("the receiver answered 410: its webhook is disabled")
    raise _failure(job, payload, receiver, settings, f"the receiver answered {answer.status}", answer.retry_after)


def _send(job: Job, payload: Delivery, receiver: Receiver, settings: Settings) -> tuple[Answer, float]:
    if receiver.disabled:
        raise DeliveryRefused(
            f"webhook {payload.webhook} is disabled: `gopherctl webhooks enable {payload.webhook}`, then redeliver"
        )
    body, began = bytes(payload.body), time.monotonic()
    headers = {
        "Content-Type": "application/json",
        **signed_headers(payload.message, int(time.time()), body, receiver.secrets),
    }
    guard = Guard.allowing(settings.webhooks_allow)
    where = fetching.shown(receiver.url)
    try:
        answer = fetching.post(
            receiver.url, body, headers, seconds=settings.webhooks_timeout, max_bytes=_MOST_READ, guard=guard
        )
    except FetchFailed as error:
        job.log("POST %s: no response after %.3f s: %s", where, time.monotonic() - began, error)
        raise _failure(job, payload, receiver, settings, str(error), None) from error
    seconds = time.monotonic() - began
    beginning = printable(answer.beginning.decode("utf-8", "replace"))[:_MOST_SHOWN]
    job.log("POST %s: %d in %.3f s: %s", where, answer.status, seconds, beginning or "(empty)")
    return answer, seconds


def _failure(
    job: Job, payload: Delivery, receiver: Receiver, settings: Settings, reason: str, retry_after: float | None
) -> DeliveryFailed:
    """Return the error of an attempt that failed; the last one is counted."""
    if job.attempt > job.max_retries:
        _note(settings, payload, receiver, "failed")
    backoff = settings.webhooks_backoff
    delay = backoff[min(job.attempt, len(backoff)) - 1] * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311 - no secret
    return DeliveryFailed(reason, after=max(delay, retry_after or 0.0))


def _receiver(settings: Settings, payload: Delivery) -> Receiver:
    """Return where a message is sent, with which secrets: as read within the last seconds. Raises DeliveryRefused."""
    kept = _receivers.get(payload.webhook)
    if kept is None or kept.until < time.monotonic():
        with Server(settings, connections=1) as server:
            kept = _Kept(receiver_of(server, payload.webhook), time.monotonic() + _KEPT_FOR)
        _receivers[payload.webhook] = kept
    receiver = kept.receiver
    if not payload.webhook:
        return receiver._replace(url=payload.url)
    if not receiver.url:
        raise DeliveryRefused(f"webhook {payload.webhook} was deleted")
    return receiver


def _note(settings: Settings, payload: Delivery, receiver: Receiver, outcome: Outcome) -> None:
    """Count a delivery of a webhook that failed permanently, or the first that succeeds after such ones."""
    _receivers.pop(payload.webhook, None)
    if payload.webhook and not receiver.disabled:
        with Server(settings, connections=1) as server:
            note_delivery(server, payload.webhook, outcome, settings.webhooks_disable_after)

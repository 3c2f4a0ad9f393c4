"""Webhooks: creates, lists, changes and deletes them, and sends messages again."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gopher.base.durations import EXPECTED, parse_duration
from gopher.base.names import QUEUE_NAME, TENANT, TYPE_NAME, canonical_id, check_name
from gopher.base.salvage import NO_TIME, text
from gopher.base.signatures import new_secret
from gopher.base.states import ENDED, State
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob, JobConflict, WebhookNotFound
from gopher.interface.operation import takes
from gopher.interface.webhooks import WebhooksInterface
from gopher.jobs.callbacks import DELIVERY_TYPE, EVENTS, INCLUDES, check_choices, check_url
from gopher.jobs.job import NewJob, new_job_id, read_envelope
from gopher.jobs.models import JobView
from gopher.jobs.webhooks import (
    MAX_WEBHOOKS,
    CreatedWebhook,
    Delivery,
    NewSecret,
    Secrets,
    WebhookRecord,
    WebhookRequest,
    WebhookView,
)
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server
from gopher.queue.webhooks import (
    CALLBACKS,
    StoredWebhook,
    StoredWebhooks,
    callback_secrets,
    change_webhook,
    note_delivery,
    read_webhooks,
    stored_callback_secrets,
    subscribe_all,
    tell_of_change,
)
from gopher.reads.jobs import Inspector
from gopher.server.errors import explained
from gopher.webhooks.messages import body_of, new_delivery

from .audit import audited

#: How often a change is tried again because another client has changed the webhook at the same time.
_ATTEMPTS = 5
#: The longest time for which a replaced secret still signs (s).
_LONGEST_OVERLAP = 30 * 86400.0
_UNREADABLE = WebhookRecord("", Secrets(""), 0)
_decode_delivery = msgspec.json.Decoder(Delivery).decode


@audited
class Webhooks(WebhooksInterface):
    """The webhooks, and the secret of callbacks."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector

    def all(self) -> list[WebhookView]:
        """Return the webhooks, oldest first, without their secrets."""
        found = self._read().webhooks or {}
        return sorted(
            (_shown(webhook_id, each) for webhook_id, each in found.items()),
            key=lambda view: (view.created_at, view.webhook_id),
        )

    def get(self, webhook_id: str) -> WebhookView:
        """Return a webhook. Raises WebhookNotFound."""
        return _shown(webhook_id, _find(self._read(), webhook_id))

    @takes(WebhookRequest)
    def create(self, asked: WebhookRequest) -> CreatedWebhook:
        """Create a webhook and return it with its secret. Raises InvalidJob, JobConflict if there are too many."""
        fields = _checked(asked)
        webhook_id, secret = secrets.token_hex(6), new_secret()
        record = WebhookRecord(secrets=Secrets(secret), created=self._read().now, **fields)
        if change_webhook(self._server, webhook_id, b"", msgspec.json.encode(record)) == "FULL":
            raise JobConflict(f"there are {MAX_WEBHOOKS} webhooks already: delete one first")
        self._tell()
        view = _shown(webhook_id, StoredWebhook(b"", record))
        return CreatedWebhook(**msgspec.structs.asdict(view), secret=secret)

    def replace(self, webhook_id: str, definition: WebhookRequest) -> WebhookView:
        """Replace URL and filters of a webhook. Raises WebhookNotFound, InvalidJob."""
        fields = _checked(definition)
        self._change(webhook_id, lambda record, now: msgspec.structs.replace(record, **fields))
        self._tell()
        return self.get(webhook_id)

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook. Raises WebhookNotFound."""
        for _ in range(_ATTEMPTS):
            stored = _find(self._read(), webhook_id).stored
            if change_webhook(self._server, webhook_id, stored, b"") == "OK":
                return self._forget(webhook_id)
        raise _busy()

    def rotate(self, webhook_id: str, overlap: str | float = "24h") -> NewSecret:
        """Replace the secret of a webhook. Raises WebhookNotFound, InvalidJob."""
        seconds, secret = _overlap(overlap), new_secret()

        def changed(record: WebhookRecord, now: int) -> WebhookRecord:
            rotated = record.secrets.rotated(secret, now, now + round(seconds * 1000))
            return msgspec.structs.replace(record, secrets=rotated)

        self._change(webhook_id, changed)
        return NewSecret(secret)

    def enable(self, webhook_id: str) -> bool:
        """Enable a webhook; return whether it was disabled. Raises WebhookNotFound."""
        _find(self._read(), webhook_id)
        changed = note_delivery(self._server, webhook_id, "enabled")
        if changed:
            self._tell()
        return changed

    def test(self, webhook_id: str) -> str:
        """Send a message to a webhook; return the id of its job. Raises WebhookNotFound, JobConflict."""
        found = self._read()
        webhook = _find(found, webhook_id)
        if webhook.disabled or webhook.record is None:
            raise JobConflict(f"webhook {webhook_id} is disabled: enable it first")
        body = body_of("webhook.test", found.now, {"webhook_id": webhook_id})
        message = f"msg_{secrets.token_hex(16)}"
        delivery = Delivery(message, "webhook.test", body, webhook=webhook_id, url=webhook.record.url)
        return self._enqueue(delivery, "")

    def deliveries(self, webhook_id: str) -> list[JobView]:
        """Return the latest deliveries of a webhook, newest first. Raises WebhookNotFound."""
        _find(self._read(), webhook_id)
        with explained():
            ids = self._server.client.zrevrange(self._server.keys.webhook_deliveries(webhook_id), 0, -1)
        return self._inspector.views((self._server.settings.webhooks_queue, text(each)) for each in ids)

    def redeliver(self, job_id: str) -> str:
        """Send the message of an ended delivery again; return the id of its job. Raises JobNotFound, JobConflict."""
        queue = self._inspector.find(job_id := canonical_id(job_id))
        if queue is None:
            raise no_such_job(self._server, job_id)
        keys = self._server.keys.for_queue(queue)
        with explained():
            job_type, state, envelope = self._server.client.hmget(keys.job(job_id), ("type", "state", "envelope"))
        if job_type != DELIVERY_TYPE.encode():
            raise JobConflict(f"job {job_id} does not deliver a webhook")
        if text(state or b"") not in ENDED:
            raise JobConflict(f"delivery {job_id} has not ended yet: it is {text(state or b'')}")
        if state == State.FAILED.encode():
            self._server.run(self._server.queue(queue).redrive([job_id]))
            return job_id
        submitted = read_envelope(envelope or b"")
        try:
            return self._enqueue(_decode_delivery(submitted.payload), submitted.owner)
        except msgspec.MsgspecError:
            raise JobConflict(f"the record of delivery {job_id} can't be read") from None

    def secret(self) -> str:
        """Return the secret that signs the messages to callbacks."""
        return callback_secrets(self._server).secret

    def rotate_secret(self, overlap: str | float = "24h") -> NewSecret:
        """Replace the secret of callbacks. Raises InvalidJob."""
        seconds, secret = _overlap(overlap), new_secret()
        for _ in range(_ATTEMPTS):
            callback_secrets(self._server)
            stored, before = stored_callback_secrets(self._server)
            now = self._read().now
            if before is None:
                continue
            new = msgspec.json.encode(before.rotated(secret, now, now + round(seconds * 1000)))
            if change_webhook(self._server, CALLBACKS, stored, new) == "OK":
                return NewSecret(secret)
        raise _busy()

    def _enqueue(self, delivery: Delivery, owner: str) -> str:
        settings = self._server.settings
        job: NewJob = new_delivery(new_job_id(settings.webhooks_queue), delivery, owner, settings)
        self._server.register_queues(job.queue)
        self._server.run(self._server.queue(job.queue).enqueue([job]))
        if delivery.webhook:
            key = self._server.keys.webhook_deliveries(delivery.webhook)
            now = self._read().now
            self._server.write(key, lambda: self._server.client.zadd(key, {job.id: now}))
        return job.id

    def _change(self, webhook_id: str, change: Callable[[WebhookRecord, int], WebhookRecord]) -> None:
        for _ in range(_ATTEMPTS):
            found = self._read()
            stored, record, *_ = _find(found, webhook_id)
            if record is None:
                raise JobConflict(
                    f"the record of webhook {webhook_id} can't be read: delete it, and create another one"
                )
            new = msgspec.json.encode(change(record, found.now))
            if change_webhook(self._server, webhook_id, stored, new) == "OK":
                return
        raise _busy()

    def _forget(self, webhook_id: str) -> None:
        key = self._server.keys.webhook_deliveries(webhook_id)
        self._server.write(key, lambda: self._server.client.delete(key))
        self._tell()

    def _read(self) -> StoredWebhooks:
        found: StoredWebhooks = self._server.run(read_webhooks(self._server.keys))
        return found

    def _tell(self) -> None:
        """Tell all queues which ends of jobs are to be told; a scheduler completes that if this process dies."""
        tell_of_change(self._server)
        subscribe_all(self._server, self._server.queues())


def _checked(asked: WebhookRequest) -> dict[str, Any]:
    """Return the fields of a record. Raises InvalidJob."""
    for names, pattern, field in ((asked.queues, QUEUE_NAME, "/queues"), (asked.types, TYPE_NAME, "/types")):
        for index, name in enumerate(names):
            check_name(pattern, name, f"{field}/{index}")
    for index, tenant in enumerate(asked.tenants):
        # "" means jobs without one.
        check_name(TENANT, tenant or "-", f"/tenants/{index}")
    if DELIVERY_TYPE in asked.types:
        raise InvalidJob(f"is {DELIVERY_TYPE!r}: how deliveries end is never reported; remove it", "/types")
    if not asked.description.isprintable():
        raise InvalidJob("must have printable characters only", "/description")
    return {
        "url": check_url(asked.url, "/url"),
        "events": check_choices(asked.events, EVENTS, "/events"),
        "types": _unique(asked.types),
        "queues": _unique(asked.queues),
        "tenants": _unique(asked.tenants),
        "include": check_choices(asked.include, INCLUDES, "/include"),
        "description": asked.description,
    }


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _shown(webhook_id: str, webhook: StoredWebhook) -> WebhookView:
    record = webhook.record or _UNREADABLE
    since, why = webhook.disabled or (None, "")
    return WebhookView(
        webhook_id=webhook_id,
        url=record.url,
        events=list(record.events),
        types=list(record.types),
        queues=list(record.queues),
        tenants=list(record.tenants),
        include=list(record.include),
        description=record.description,
        created_at=to_rfc3339(record.created) if webhook.record else NO_TIME,
        disabled_at=None if since is None else to_rfc3339(since),
        disabled_because=why,
        failures=webhook.failures,
        corrupt=[] if webhook.record else ["record"],
    )


def _find(found: StoredWebhooks, webhook_id: str) -> StoredWebhook:
    webhook = (found.webhooks or {}).get(webhook_id)
    if webhook is None:
        raise WebhookNotFound(f"there is no webhook {webhook_id!r:.60}")
    return webhook


def _overlap(given: str | float) -> float:
    try:
        seconds = parse_duration(given)
    except ValueError:
        raise InvalidJob(f"is {given!r:.60}: expected {EXPECTED}", "/overlap") from None
    if not 0 <= seconds <= _LONGEST_OVERLAP:
        raise InvalidJob(f"is {given!r:.60}: the maximum is {_LONGEST_OVERLAP / 86400:g} days", "/overlap")
    return seconds


def _busy() -> JobConflict:
    return JobConflict("other clients change the webhooks at the same time: try again")

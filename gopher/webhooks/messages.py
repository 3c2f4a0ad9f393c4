"""Messages: what a receiver is told of the end of a job, and the jobs that deliver it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE
from gopher.base.times import to_rfc3339
from gopher.config.settings import Settings
from gopher.files.large_results import attached_name
from gopher.jobs.batch import UNSTORED
from gopher.jobs.callbacks import DELIVERY_TYPE, read_callback, receiver_key
from gopher.jobs.job import Envelope, NewJob, job_id_from, with_hint
from gopher.jobs.webhooks import Delivery
from gopher.queue.deliveries import Entry
from gopher.queue.webhooks import StoredWebhook

#: Maximum bytes of a payload or a result in a message.
LARGEST = 64 * 1024
#: Seconds that a delivery may take beyond the timeout of the receiver.
MARGIN = 15.0
#: In the place of a job's type (see library/webhooks.lua).
_BATCH = "@batch"
_NO_JSON = msgspec.Raw(b"")


class _Submitted(msgspec.Struct):
    """What a message has of a job's envelope."""

    payload: msgspec.Raw = _NO_JSON
    payload_is_file: bool = False
    tags: list[str] = []
    tenant: str = ""
    owner: str = ""


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


_read_submitted = msgspec.json.Decoder(_Submitted).decode
_read_error = msgspec.json.Decoder(_Error).decode
_read_json = msgspec.json.Decoder(msgspec.Raw).decode


class End(NamedTuple):
    """The end of a job, as its queue has posted it."""

    job_id: str
    state: str
    at: int
    queue: str
    callback: str
    is_subscribed: bool
    job_type: str
    attempts: int
    error: str
    envelope: str
    result: str
    #: Also known if the envelope is long and the record gone.
    tenant: str = ""

    @classmethod
    def of(cls, entry: Entry, queue: str) -> "End":
        """Return the end of an entry. Raises ValueError."""
        subscribed, job_type, attempts, *texts = entry.rest
        error, envelope, result, *tenant = map(str, texts)
        head = (entry.job_id, entry.state, entry.at, queue, entry.about, subscribed == 1, str(job_type))
        return cls(*head, int(str(attempts)), error, envelope, result, *tenant)

    @property
    def is_of_batch(self) -> bool:
        """Whether it is the end of a batch: then `error` has its owner and tags, `envelope` its name, and `result` how
        many of its jobs are in which state."""
        return self.job_type == _BATCH

    @property
    def event(self) -> str:
        """What it is called in messages."""
        return f"{'batch' if self.is_of_batch else 'job'}.{self.state}"

    @property
    def message_id(self) -> str:
        """The same for each delivery of this end, and another one if the job ends again."""
        seed = f"{self.job_id} {self.state} {self.at}"
        return f"msg_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


class Target(NamedTuple):
    """Where an end is reported to: a webhook, or with the id "" the callback of the job."""

    webhook: str
    url: str
    include: Sequence[str]


def targets(end: End, webhooks: Mapping[str, StoredWebhook]) -> Iterator[Target]:
    """Yield where an end is reported to."""
    if end.callback and (callback := read_callback(end.callback)):
        yield Target("", callback.url, callback.include)
    if end.is_subscribed:
        tenant = _submitted(end).tenant
        for webhook_id, each in webhooks.items():
            if each.record is not None and not each.disabled and _matches(end, tenant, each):
                yield Target(webhook_id, each.record.url, each.record.include)


def _matches(end: End, tenant: str, webhook: StoredWebhook) -> bool:
    record = webhook.record
    assert record is not None
    filters = (
        (record.events, end.state),
        (record.types, end.job_type),
        (record.queues, end.queue),
        (record.tenants, tenant),
    )
    return all(not allowed or value in allowed for allowed, value in filters)


def delivery_job(end: End, target: Target, settings: Settings) -> NewJob:
    """Return the job that delivers a message; it has the same id whenever it is created."""
    submitted = _submitted(end)
    delivery = Delivery(
        message=end.message_id,
        event=end.event,
        body=_body_of_batch(end, submitted) if end.is_of_batch else _body(end, submitted, target.include),
        about=end.job_id,
        webhook=target.webhook,
        url=target.url,
    )
    job_id = job_id_from(end.at, f"{end.message_id} {target.webhook or 'callback'}")
    # Whose job it is may see where it is reported to by a callback, but not what an operator has set up.
    owner = "" if target.webhook else submitted.owner
    return new_delivery(with_hint(job_id, settings.webhooks_queue), delivery, owner, settings)


def new_delivery(job_id: str, delivery: Delivery, owner: str, settings: Settings) -> NewJob:
    """Return a job that delivers a message."""
    envelope = Envelope(
        payload=msgspec.Raw(msgspec.json.encode(delivery)),
        max_retries=len(settings.webhooks_backoff),
        timeout=settings.webhooks_timeout + MARGIN,
        owner=owner,
        tags=tuple(filter(None, (delivery.about, delivery.webhook))),
    )
    return NewJob(
        id=job_id,
        type=DELIVERY_TYPE,
        envelope=msgspec.json.encode(envelope),
        queue=settings.webhooks_queue,
        limit_key=receiver_key(delivery.url),
        owner=owner,
    )


def body_of(event: str, at: int, data: Mapping[str, Any]) -> msgspec.Raw:
    """Return the body of a message."""
    return msgspec.Raw(msgspec.json.encode({"type": event, "timestamp": to_rfc3339(at), "data": data}))


def _body(end: End, submitted: _Submitted, include: Iterable[str]) -> msgspec.Raw:
    data: dict[str, Any] = {
        "id": end.job_id,
        "type": end.job_type,
        "queue": end.queue,
        "status": end.state,
        "attempts": end.attempts,
    }
    error = _error(end)
    if error.type:
        data["error_type"] = error.type
    if submitted.tenant:
        data["tenant"] = submitted.tenant
    if submitted.tags:
        data["tags"] = submitted.tags
    omitted = []
    for part in include:
        if part == "error":
            data |= {"error": error.message} if error.message else {}
            continue
        value = _payload(submitted) if part == "payload" else _result(end)
        if value is None:
            omitted.append(part)
        elif bytes(value):
            data[part] = value
    if omitted:
        data["omitted"] = omitted
    return body_of(end.event, end.at, data)


def _body_of_batch(end: End, submitted: _Submitted) -> msgspec.Raw:
    found = (each.split(" ") for each in end.result.split(",") if each)
    # Earlier versions also tell of jobs that were never stored.
    counts = {state: int(count) for state, count in sorted(found) if int(count) and state != UNSTORED}
    data: dict[str, Any] = {"id": end.job_id, "name": end.envelope, "queue": end.queue, "status": end.state}
    data |= {"total": sum(counts.values()), **counts}
    if submitted.tags:
        data["tags"] = submitted.tags
    return body_of(end.event, end.at, data)


def _payload(submitted: _Submitted) -> msgspec.Raw | None:
    """Return a payload, None if it is too large or is a file."""
    is_small = len(bytes(submitted.payload)) <= LARGEST and not submitted.payload_is_file
    return submitted.payload if is_small else None


def _result(end: End) -> msgspec.Raw | None:
    """Return a result, nothing if there is none, and None if it is too large, is a file or is not JSON."""
    result = end.result.encode()
    if len(result) > LARGEST or attached_name(result):
        return None
    try:
        return _read_json(result) if result else _NO_JSON
    except UNREADABLE:
        return None


def _submitted(end: End) -> _Submitted:
    if end.is_of_batch:
        owner, _, tags = end.error.partition("\n")
        return _Submitted(owner=owner, tags=[tag for tag in tags.split(",") if tag])
    try:
        return _read_submitted(end.envelope.encode())
    except UNREADABLE:
        return _Submitted(tenant=end.tenant)


def _error(end: End) -> _Error:
    try:
        return _read_error(end.error.encode())
    except UNREADABLE:
        return _Error()

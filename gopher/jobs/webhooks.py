"""Webhooks: what is asked for, stored, sent and shown. Only a new secret is ever shown."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gopher.base.names import TENANT
from gopher.base.patterns import regex
from gopher.base.signatures import PREFIX

from .callbacks import Events, Include, Url
from .fields import Checked, Duration, JobId, QueueName, Time, TypeName, whole
from .models import Corrupt, JobView

#: Maximum number of webhooks: each relay has all of them in memory.
MAX_WEBHOOKS = 1000
WEBHOOK_ID = regex(r"[0-9a-f]{12}")
#: Maximum number of names in a filter of a webhook.
_MOST = 100

WebhookId = Annotated[
    str, Meta(description="Id of a webhook.", examples=["5f0c9be1a7d2"], extra_json_schema=whole(WEBHOOK_ID))
]
_Types = Annotated[
    list[TypeName],
    Meta(description="Only of jobs of this type; by default of all.", max_length=_MOST, extra={"metavar": "TYPE"}),
]
_Queues = Annotated[
    list[QueueName],
    Meta(description="Only of jobs in this queue; by default of all.", max_length=_MOST, extra={"metavar": "QUEUE"}),
]
_Tenants = Annotated[
    # "" means jobs without one.
    list[Annotated[str, Meta(max_length=64, extra_json_schema=whole(f"(?:{TENANT.pattern})?"))]],
    Meta(description="Only of jobs of this tenant; by default of all.", max_length=_MOST, extra={"metavar": "TENANT"}),
]
_Description = Annotated[str, Meta(description="What the webhook is for.", max_length=200)]
_Secret = Annotated[str, Meta(description="Secret that signs the messages.", examples=[PREFIX + "C2FVsBQIhrscChlQIM"])]


class WebhookRequest(Checked):
    """The webhook to create, or what it is replaced by."""

    url: Url
    events: Events = msgspec.field(default_factory=list)
    types: _Types = msgspec.field(default_factory=list)
    queues: _Queues = msgspec.field(default_factory=list)
    tenants: _Tenants = msgspec.field(default_factory=list)
    include: Include = msgspec.field(default_factory=list)
    description: _Description = ""


class SecretRotation(Checked):
    """How to replace a secret."""

    overlap: Annotated[Duration, Meta(description="How long messages are signed with the replaced secret, too.")] = (
        "24h"
    )


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook, without its secret. Empty filters match all jobs."""

    webhook_id: WebhookId
    url: Url
    events: Events
    types: _Types
    queues: _Queues
    tenants: _Tenants
    include: Include
    description: _Description
    created_at: Time
    disabled_at: Annotated[Time, Meta(description="Since when it is disabled; null if it is not.")] | None
    disabled_because: Annotated[str, Meta(description="Why it is disabled; empty if it is not.")]
    failures: Annotated[int, Meta(description="How many deliveries have failed permanently since the last success.")]
    corrupt: Corrupt = []


class CreatedWebhook(WebhookView, kw_only=True):
    """A new webhook. Its secret is never shown again."""

    secret: _Secret


class WebhookList(msgspec.Struct):
    """The webhooks."""

    webhooks: list[WebhookView]


class NewSecret(msgspec.Struct):
    """A secret: that of a webhook when it is rotated, or that of all callbacks of jobs."""

    secret: _Secret


class WebhookDeleted(msgspec.Struct):
    """A webhook that was deleted."""

    webhook_id: WebhookId
    deleted: bool


class WebhookEnabled(msgspec.Struct):
    """A webhook that is enabled, and whether it was disabled before."""

    webhook_id: WebhookId
    enabled: bool
    changed: bool


class Deliveries(msgspec.Struct):
    """The latest deliveries of a webhook."""

    deliveries: list[JobView]


class Redelivered(msgspec.Struct):
    """A delivery that is sent again."""

    job_id: JobId


class Secrets(msgspec.Struct, omit_defaults=True, frozen=True):
    """A secret, and those that it has replaced, with until when they sign too (Unix ms)."""

    secret: str
    previous: tuple[tuple[str, int], ...] = ()

    def at(self, now: int) -> list[str]:
        """Return the secrets that sign at a time, the newest first."""
        return [self.secret, *(secret for secret, until in self.previous if until > now)]

    def rotated(self, secret: str, now: int, until: int) -> "Secrets":
        """Return these with a new secret; the present one signs too until a time, and no former one for longer."""
        former = [(self.secret, until), *((each, min(end, until)) for each, end in self.previous)]
        return Secrets(secret, tuple((each, end) for each, end in former if end > now))


class WebhookRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """What is stored of a webhook; `created` in Unix ms."""

    url: str
    secrets: Secrets
    created: int
    events: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    description: str = ""


class Delivery(msgspec.Struct, omit_defaults=True, frozen=True):
    """The payload of a job that delivers a message."""

    #: Its id, the same in each attempt and redelivery.
    message: str
    event: str
    body: msgspec.Raw
    #: The job that it is about.
    about: str = ""
    #: Id of the webhook, which has the URL and the secret; "" for a callback.
    webhook: str = ""
    #: Of a callback, or where the webhook led when the event happened.
    url: str = ""

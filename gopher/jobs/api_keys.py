"""API keys that are kept on the server: what is asked for, stored and shown. Only a new key has a secret."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gopher.base.durability import DURABILITIES
from gopher.base.patterns import regex
from gopher.base.times import to_rfc3339
from gopher.config.key_kinds import ROLES, ApiKey, Role

from .fields import ApiKeyId, ApiKeyName, Checked, Duration, QueueName, TenantName, Time, TypeName, one_of
from .models import Corrupt

#: Generated secrets: 256 random bits after a prefix by which scanners of source code recognize them.
SECRET_PREFIX = "gopher_"  # noqa: S105 - the constant part
SECRET = regex(rb"gopher_[0-9a-f]{64}")
#: Maximum number of keys: each process of the API holds all of them in memory.
MAX_KEYS = 1000

_KeyRole = Annotated[
    str, Meta(description="Role of the key.", examples=["submit"], extra_json_schema=one_of(tuple(map(str, ROLES))))
]
_Queues = Annotated[
    list[QueueName], Meta(description="Limit the key to this queue.", max_length=100, extra={"metavar": "QUEUE"})
]
_Types = Annotated[
    list[TypeName], Meta(description="Limit the key to this job type.", max_length=100, extra={"metavar": "TYPE"})
]
_Tenant = Annotated[
    TenantName, Meta(description="Limit the key to the jobs of this tenant.", extra={"metavar": "TENANT"})
]
_Durability = Annotated[
    str,
    Meta(
        description="Durability of jobs submitted with the key; by default GOPHER_DURABILITY.",
        extra_json_schema=one_of(tuple(DURABILITIES)),
    ),
]
_ExpiresIn = Annotated[Duration, Meta(description="When the key expires; by default never.")]


class KeyRequest(Checked):
    """The key to create. Without queues or types it is not limited to any."""

    name: ApiKeyName
    role: _KeyRole = "submit"
    queues: _Queues = msgspec.field(default_factory=list)
    types: _Types = msgspec.field(default_factory=list)
    expires_in: _ExpiresIn | None = None
    durability: _Durability | None = None
    tenant: _Tenant | None = None


class KeyRotation(Checked):
    """How to replace a key."""

    overlap: Annotated[Duration, Meta(description="How long the replaced key still works.")] = "1d"
    expires_in: (
        Annotated[Duration, Meta(description="When the new key expires; by default after as long as the old one.")]
        | None
    ) = None


class KeyView(msgspec.Struct, kw_only=True):
    """An API key, without its secret. `queues` and `types` are those that it is limited to, empty for all."""

    key_id: ApiKeyId
    name: Annotated[str, Meta(description="Name of the client.", examples=["shop"])]
    role: _KeyRole
    queues: list[QueueName]
    types: list[TypeName]
    created_at: Time
    expires_at: Time | None
    expired: bool
    last_used_at: (
        Annotated[
            Time,
            Meta(description="To the minute; null if the key was never used.", examples=["2026-11-24T10:26:07.863Z"]),
        ]
        | None
    )
    durability: _Durability | None = None
    tenant: _Tenant | None = None
    corrupt: Corrupt = []


class CreatedKey(KeyView, kw_only=True):
    """A new key. Its secret is never shown again."""

    secret: Annotated[str, Meta(description="Secret of the key.", examples=[SECRET_PREFIX + "5f" * 32])]


class KeyList(msgspec.Struct):
    """The API keys that are kept on the server."""

    keys: list[KeyView]


class KeyRevoked(msgspec.Struct):
    """A key that was revoked."""

    key_id: ApiKeyId
    revoked: bool


#: A queue in the record of a key that is limited to a tenant. Processes of the release before do not know tenants: for
#: them such a key is limited to a queue that does not exist.
NEEDS_TENANTS = "(a tenant)"


class KeyRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """What is stored of a key, under the SHA-256 of its secret; times in Unix ms."""

    name: str
    role: Role
    created: int
    queues: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    expires: int | None = None
    durability: str = ""
    tenant: str = ""

    @property
    def queues_of_key(self) -> tuple[str, ...]:
        """The queues that the key is limited to."""
        return tuple(queue for queue in self.queues if queue != NEEDS_TENANTS)

    def key(self, digest: bytes) -> ApiKey:
        return ApiKey(
            self.name,
            digest,
            self.role,
            queues=self.queues_of_key,
            types=self.types,
            tenant=self.tenant,
            expires=self.expires,
            durability=self.durability,
        )


def key_view(digest: bytes, record: KeyRecord, now: int, used: int | None) -> KeyView:
    """Return how a key is shown."""
    return KeyView(
        key_id=record.key(digest).id,
        name=record.name,
        role=record.role,
        queues=list(record.queues_of_key),
        types=list(record.types),
        created_at=to_rfc3339(record.created),
        expires_at=None if record.expires is None else to_rfc3339(record.expires),
        expired=record.expires is not None and record.expires <= now,
        last_used_at=None if used is None else to_rfc3339(used),
        durability=record.durability or None,
        tenant=record.tenant or None,
    )

"""Tenants: what is set for one, and what is shown of it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from .fields import RateText, TenantName

#: The maximum weight of a tenant.
HEAVIEST = 100
Weight = Annotated[
    int,
    Meta(
        description="Jobs that start in each of its turns; 1 by default.",
        extra_json_schema={"minimum": 1, "maximum": HEAVIEST},
    ),
]


class TenantSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for a tenant: its weight, and what it may use of each queue. None: not limited."""

    weight: Weight = 1
    rate: RateText | None = None
    burst: float | None = None
    concurrency: int | None = None


class TenantSet(msgspec.Struct):
    """What is set for a tenant now."""

    tenant: TenantName
    weight: Weight
    rate: RateText | None
    burst: float | None
    concurrency: int | None


class TenantView(TenantSet):
    """A tenant that has settings, or jobs that wait or run. `tenant` is "" for jobs without one."""

    tenant: Annotated[str, Meta(description='Name of a tenant, "" for jobs without one.', examples=["customer:42"])]
    waiting: int
    running: int


class TenantsView(msgspec.Struct):
    """Tenants, those with the most waiting jobs first, then those with the most running ones."""

    tenants: list[TenantView]


class TenantDeleted(msgspec.Struct):
    """A tenant without settings; `deleted` is false if it had none."""

    tenant: TenantName
    deleted: bool

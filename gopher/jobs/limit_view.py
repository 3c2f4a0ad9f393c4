"""What is shown of the limit of a type."""

import msgspec

from .fields import Key, QueueName, RateText, TypeName
from .models import Corrupt


class ThrottledKey(msgspec.Struct, omit_defaults=True):
    """A limit key, or a tenant, whose jobs RateLimited throttles, and for how many seconds more."""

    #: "" for a tenant.
    limit_key: Key
    throttled_for: float
    #: "" for the jobs without a tenant; null for a limit key.
    tenant: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        if self.tenant is None:
            return self.limit_key
        return f"tenant {self.tenant}" if self.tenant else "jobs without a tenant"


class LimitView(msgspec.Struct, omit_defaults=True):
    """A limited, paused or throttled type in one queue. `origin` is api, or handler if declared in code.

    `throttled_keys` is the number of limit keys and tenants that RateLimited throttles; `throttled` has the first to
    continue.
    """

    type: TypeName
    queue: QueueName
    rate: RateText | None
    burst: float | None
    concurrency: int | None
    running: int
    origin: str | None
    paused: bool
    held_back_for: float
    #: Whether each `limit_key` has such a limit of its own.
    per_key: bool = False
    throttled_keys: int = 0
    throttled: list[ThrottledKey] = []
    corrupt: Corrupt = []

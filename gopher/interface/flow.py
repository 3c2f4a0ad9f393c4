"""The part of the interface for what may run when: limits, tenants and pauses."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.jobs import answers, filters
from gopher.jobs.fields import QueueName, TenantName, TypeName
from gopher.jobs.limit import Limit
from gopher.jobs.limit_view import LimitView
from gopher.jobs.tenants import TenantDeleted, TenantSet, TenantsView, TenantView

from .operation import OF_QUEUES, Operations, operation


class FlowInterface(Operations):
    """Limits, tenants and pauses."""

    part = "flow"

    @operation("GET", "/api/v1/limits", "read", answers.LimitsView, member="limits")
    def limits(self) -> list[LimitView]:
        """List the types that are limited, paused or throttled, by queue and type."""

    @operation("PUT", "/api/v1/limits/<job_type>", "admin", answers.LimitSet, "unknown_type", body=filters.LimitRequest)
    def set_limit(
        self,
        job_type: TypeName,
        rate: str | None,
        burst: float | None,
        concurrency: int | None,
        *,
        per_key: bool = False,
    ) -> Limit:
        """Limit the rate and the concurrency of a job type, in each queue across all workers."""

    @operation("DELETE", "/api/v1/limits/<job_type>", "admin", answers.LimitCleared, member="cleared")
    def clear_limit(self, job_type: TypeName) -> bool:
        """Clear a type's limit; return whether it was limited. The limit that its handler declares applies again."""

    @operation("GET", "/api/v1/tenants", "read", TenantsView, member="tenants")
    def tenants(self) -> list[TenantView]:
        """List the tenants that have settings or unfinished jobs, those with the most waiting jobs first."""

    @operation("PUT", "/api/v1/tenants/<tenant>", "admin", TenantSet, body=filters.TenantRequest)
    def set_tenant(
        self,
        tenant: TenantName,
        weight: int = 1,
        rate: str | None = None,
        burst: float | None = None,
        concurrency: int | None = None,
    ) -> TenantSet:
        """Set how many jobs of a tenant start in each of its turns, and what it may use of each queue."""

    @operation("DELETE", "/api/v1/tenants/<tenant>", "admin", TenantDeleted, member="deleted")
    def clear_tenant(self, tenant: TenantName) -> bool:
        """Delete what is set for a tenant; return whether anything was."""

    @operation(
        "DELETE",
        "/api/v1/limits/<job_type>/throttled",
        "admin",
        answers.Released,
        query=filters.Throttled,
        member="released",
    )
    def release(self, job_type: TypeName, limit_key: str | None = None, tenant: str | None = None) -> int:
        """End what RateLimited has throttled of a type: all of it, a limit key, or a tenant. Return how much was."""

    @operation(
        "POST", "/api/v1/queues/<queue>/pause", "admin", answers.QueuePaused, *OF_QUEUES,
        member="changed", fixed={"paused": True},
    )  # fmt: skip
    def pause_queue(self, queue: QueueName) -> bool:
        """Pause a queue: no new jobs start; running jobs finish. Return whether it was not paused before."""

    @operation(
        "POST", "/api/v1/queues/<queue>/resume", "admin", answers.QueuePaused,
        member="changed", fixed={"paused": False},
    )  # fmt: skip
    def resume_queue(self, queue: QueueName) -> bool:
        """Resume a paused queue; return whether it was paused."""

    @operation(
        "POST", "/api/v1/types/<job_type>/pause", "admin", answers.TypePaused,
        member="changed", fixed={"paused": True},
    )  # fmt: skip
    def pause_type(self, job_type: TypeName) -> bool:
        """Pause a job type in all queues: no new jobs start; running jobs finish.

        Return whether it was not paused before.
        """

    @operation(
        "POST", "/api/v1/types/<job_type>/resume", "admin", answers.TypePaused,
        member="changed", fixed={"paused": False},
    )  # fmt: skip
    def resume_type(self, job_type: TypeName) -> bool:
        """Resume a paused job type; return whether it was paused."""

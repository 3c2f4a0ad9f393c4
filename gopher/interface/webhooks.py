"""The part of the interface for webhooks."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.jobs.fields import JobId
from gopher.jobs.models import JobView
from gopher.jobs.webhooks import (
    CreatedWebhook,
    Deliveries,
    NewSecret,
    Redelivered,
    SecretRotation,
    WebhookDeleted,
    WebhookEnabled,
    WebhookId,
    WebhookList,
    WebhookRequest,
    WebhookView,
)

from .operation import Operations, operation, takes


class WebhooksInterface(Operations):
    """Webhooks: receivers that are told how jobs end."""

    part = "webhooks"

    @operation("GET", "/api/v1/webhooks", "read", WebhookList, member="webhooks")
    def all(self) -> list[WebhookView]:
        """List the webhooks, oldest first, without their secrets."""

    @operation("GET", "/api/v1/webhooks/<webhook_id>", "read", None, "not_found")
    def get(self, webhook_id: WebhookId) -> WebhookView:
        """Show a webhook."""

    @operation("POST", "/api/v1/webhooks", "admin", {201: CreatedWebhook}, "conflict", body=WebhookRequest)
    @takes(WebhookRequest)
    def create(self, asked: WebhookRequest) -> CreatedWebhook:
        """Create a webhook. Its secret is in this answer only."""

    @operation(
        "PUT", "/api/v1/webhooks/<webhook_id>", "admin", WebhookView, "not_found", "conflict", body=WebhookRequest
    )
    def replace(self, webhook_id: WebhookId, definition: WebhookRequest) -> WebhookView:
        """Replace URL and filters of a webhook; its secret and its deliveries remain."""

    @operation(
        "DELETE", "/api/v1/webhooks/<webhook_id>", "admin", WebhookDeleted, "not_found", "conflict",
        fixed={"deleted": True},
    )  # fmt: skip
    def delete(self, webhook_id: WebhookId) -> None:
        """Delete a webhook. Its deliveries that are waiting fail."""

    @operation(
        "POST", "/api/v1/webhooks/<webhook_id>/rotate", "admin", {200: NewSecret}, "not_found", "conflict",
        body=SecretRotation, body_required=False,
    )  # fmt: skip
    def rotate(self, webhook_id: WebhookId, overlap: str | float = "24h") -> NewSecret:
        """Replace the secret of a webhook; for `overlap`, messages are also signed with the replaced one."""

    @operation(
        "POST", "/api/v1/webhooks/<webhook_id>/enable", "admin", WebhookEnabled, "not_found",
        member="changed", fixed={"enabled": True},
    )  # fmt: skip
    def enable(self, webhook_id: WebhookId) -> bool:
        """Enable a webhook again that was disabled because deliveries failed; return whether it was disabled."""

    @operation(
        "POST", "/api/v1/webhooks/<webhook_id>/test", "admin", Redelivered, "not_found", "conflict",
        member="job_id",
    )  # fmt: skip
    def test(self, webhook_id: WebhookId) -> str:
        """Send the message `webhook.test` to a webhook; return the id of the job that delivers it."""

    @operation("GET", "/api/v1/webhooks/<webhook_id>/deliveries", "read", Deliveries, "not_found", member="deliveries")
    def deliveries(self, webhook_id: WebhookId) -> list[JobView]:
        """List the latest deliveries of a webhook, newest first, as long as their jobs are kept."""

    @operation(
        "POST", "/api/v1/webhooks/deliveries/<job_id>/redeliver", "admin", Redelivered,
        "not_found", "conflict", member="job_id",
    )  # fmt: skip
    def redeliver(self, job_id: JobId) -> str:
        """Send the message of an ended delivery again, with the same `webhook-id`; return the id of its job."""

    @operation("GET", "/api/v1/webhooks/secret", "admin", NewSecret, member="secret")
    def secret(self) -> str:
        """Show the secret that signs the messages to the callbacks of jobs."""

    @operation(
        "POST", "/api/v1/webhooks/secret/rotate", "admin", NewSecret, "conflict",
        body=SecretRotation, body_required=False,
    )  # fmt: skip
    def rotate_secret(self, overlap: str | float = "24h") -> NewSecret:
        """Replace the secret of callbacks; for `overlap`, messages are also signed with the replaced one."""

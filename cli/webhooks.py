"""`webhooks`: receivers that are told how jobs end."""

from typing import Any

import click
import msgspec

from gopher.interface import Gopher
from gopher.jobs.webhooks import SecretRotation, WebhookRequest, WebhookView

from .common import checking_client, client, common
from .derived import options
from .hints import doubt
from .output import Output, one_line, when

_ID = click.argument("webhook_id", metavar="ID")


@click.group(invoke_without_command=True)
@common
def webhooks(out: Output) -> None:
    """Manage webhooks, and send their messages again."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@webhooks.command("list")
@common
def list_webhooks(out: Output) -> None:
    """List the webhooks, without their secrets."""
    _list(out)


def _list(out: Output) -> None:
    with client() as gopher:
        views = gopher.webhooks.all()
    if out.data({"webhooks": views}):
        return
    columns = ("id", "URL", "events", "limited to", "state")
    rows = [(each.webhook_id, each.url, ", ".join(each.events) or "all", _limits(each), _state(each)) for each in views]
    out.table(
        columns, rows, empty="no webhooks: create one with `gopherctl webhooks create --url https://example.com/hook`"
    )
    out.corrupt((view.webhook_id, view.corrupt) for view in views)


@webhooks.command("show")
@_ID
@common
def show(out: Output, webhook_id: str) -> None:
    """Show a webhook."""
    with client() as gopher:
        view = gopher.webhooks.get(webhook_id)
    if not out.data(view):
        out.fields(
            [
                ("id", view.webhook_id),
                ("URL", view.url),
                ("description", view.description),
                ("events", ", ".join(view.events) or "all"),
                ("limited to", _limits(view)),
                ("includes", ", ".join(view.include)),
                ("created (UTC)", when(view.created_at)),
                ("state", _state(view)),
                ("failures in a row", view.failures),
            ]
        )


@webhooks.command("create")
@options(WebhookRequest)
@common
def create(out: Output, **fields: Any) -> None:
    """Create a webhook and print its secret, which is never shown again."""
    with checking_client() as gopher:
        made = gopher.webhooks.create(**_given(fields))
        _doubt(out, gopher, made)
        serving = _serving(gopher)
    if not out.data(made):
        out.note(f"webhook {made.webhook_id}: {made.url}")
        out.note("its secret, which is not shown again:")
        out.line(made.secret)
        out.note(serving)


@webhooks.command("replace")
@_ID
@options(WebhookRequest)
@common
def replace(out: Output, webhook_id: str, **fields: Any) -> None:
    """Replace URL and filters of a webhook. Its secret remains."""
    with checking_client() as gopher:
        view = gopher.webhooks.replace(webhook_id, WebhookRequest(**_given(fields)))
        _doubt(out, gopher, view)
    if not out.data(view):
        out.line(f"{webhook_id} is replaced")


@webhooks.command("delete")
@_ID
@common
def delete(out: Output, webhook_id: str) -> None:
    """Delete a webhook."""
    with client() as gopher:
        gopher.webhooks.delete(webhook_id)
    if not out.data({"webhook_id": webhook_id, "deleted": True}):
        out.line(f"{webhook_id} is deleted")


@webhooks.command("rotate")
@click.argument("webhook_id", metavar="ID", required=False)
@options(SecretRotation)
@common
def rotate(out: Output, webhook_id: str | None, overlap: str) -> None:
    """Replace the secret of a webhook, or without an ID that of callbacks, and print the new one."""
    with client() as gopher:
        made = gopher.webhooks.rotate(webhook_id, overlap) if webhook_id else gopher.webhooks.rotate_secret(overlap)
    if not out.data(made):
        out.line(made.secret)


@webhooks.command("secret")
@common
def secret(out: Output) -> None:
    """Print the secret that signs the messages to the callbacks of jobs."""
    with client() as gopher:
        shown = gopher.webhooks.secret()
    if not out.data({"secret": shown}):
        out.line(shown)


@webhooks.command("enable")
@_ID
@common
def enable(out: Output, webhook_id: str) -> None:
    """Enable a webhook again that was disabled because deliveries failed."""
    with client() as gopher:
        changed = gopher.webhooks.enable(webhook_id)
    if not out.data({"webhook_id": webhook_id, "enabled": True, "changed": changed}):
        out.line(f"{webhook_id} is enabled" if changed else f"{webhook_id} was not disabled")


@webhooks.command("test")
@_ID
@common
def test(out: Output, webhook_id: str) -> None:
    """Send the message webhook.test to a webhook, and print the id of the job that delivers it."""
    with client() as gopher:
        job_id = gopher.webhooks.test(webhook_id)
        serving = _serving(gopher)
    if not out.data({"job_id": job_id}):
        out.line(job_id)
        out.note(serving)


@webhooks.command("deliveries")
@_ID
@common
def deliveries(out: Output, webhook_id: str) -> None:
    """List the latest deliveries of a webhook, newest first."""
    with client() as gopher:
        views = gopher.webhooks.deliveries(webhook_id)
    if out.data({"deliveries": views}):
        return
    columns = ("delivery", "about", "status", "attempts", "created (UTC)", "error")
    rows = [
        (
            view.job_id, next(iter(view.tags), ""), view.status, view.attempts, when(view.created_at),
            one_line(msgspec.json.decode(view.error).get("message", ""), 80) if view.error else "",
        )
        for view in views
    ]  # fmt: skip
    out.table(columns, rows, empty="no deliveries", less_needed=("attempts", "created (UTC)"))


@webhooks.command("redeliver")
@click.argument("job_id", metavar="DELIVERY")
@common
def redeliver(out: Output, job_id: str) -> None:
    """Send the message of an ended delivery again, with the same webhook-id."""
    with client() as gopher:
        sent = gopher.webhooks.redeliver(job_id)
    if not out.data({"job_id": sent}):
        out.line(sent)


def _doubt(out: Output, gopher: Gopher, view: WebhookView) -> None:
    """Print warnings about types and queues that may be misspelt."""
    for job_type in view.types:
        doubt(out, gopher, job_type=job_type)
    for queue in view.queues:
        doubt(out, gopher, queue=queue)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {name: value for name, value in given.items() if value is not None}


def _serving(gopher: Gopher) -> str:
    if gopher.workers():
        return "workers deliver its messages within seconds"
    return "no worker is running to deliver its messages: start one with `gopherctl worker`"


def _limits(view: WebhookView) -> str:
    parts = [("type", view.types), ("queue", view.queues), ("tenant", view.tenants)]
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


def _state(view: WebhookView) -> str:
    if view.disabled_at is None:
        return "enabled"
    return f"disabled {when(view.disabled_at)}: {view.disabled_because}"

"""`tenants`: whose jobs wait and run, and what each tenant gets."""

import click

from gopher.jobs.filters import TenantRequest

from .common import checking_client, client, common, looking_client
from .derived import options
from .output import Output


@click.group(invoke_without_command=True)
@common
def tenants(out: Output) -> None:
    """Show tenants, and set what each gets: waiting jobs of tenants are served in turn."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out)


@tenants.command("list")
@common
def list_tenants(out: Output) -> None:
    """List the tenants that have settings or unfinished jobs."""
    _list(out)


def _list(out: Output) -> None:
    with looking_client() as gopher:
        views = gopher.flow.tenants()
    if out.data({"tenants": views}):
        return
    columns = ("tenant", "waiting", "running", "weight", "rate", "burst", "concurrency")
    rows = [
        (
            view.tenant or "(none)", view.waiting, view.running, view.weight, view.rate, view.burst, view.concurrency,
        )
        for view in views
    ]  # fmt: skip
    empty = "no tenants: submit jobs with --tenant, or set one with `gopherctl tenants set customer:42 --weight 3`"
    out.table(columns, rows, empty=empty, less_needed=("burst",))


@tenants.command("set")
@click.argument("tenant", metavar="TENANT")
@options(TenantRequest)
@common
def set_tenant(
    out: Output, tenant: str, weight: int, rate: str | None, burst: float | None, concurrency: int | None
) -> None:
    """Set the weight and the limits of a tenant. What is not given is the default."""
    with client() as gopher:
        now = gopher.flow.set_tenant(tenant, weight, rate, burst, concurrency)
    if not out.data(now):
        words = [
            f"weight {now.weight}",
            f"{now.rate} (burst {now.burst:g})" if now.rate and now.burst else "",
            f"concurrency {now.concurrency}" if now.concurrency else "",
        ]
        out.line(f"{tenant}: {', '.join(word for word in words if word)}")


@tenants.command("delete")
@click.argument("tenant", metavar="TENANT")
@common
def delete_tenant(out: Output, tenant: str) -> int:
    """Delete what is set for a tenant. Its jobs stay."""
    with checking_client() as gopher:
        deleted = gopher.flow.clear_tenant(tenant)
    if not out.data({"tenant": tenant, "deleted": deleted}):
        out.line(f"nothing is set for {tenant} any more" if deleted else f"nothing was set for {tenant}")
    return 0 if deleted else 1

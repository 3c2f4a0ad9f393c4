"""`health`: whether the server answers, and whether somebody works."""

import click

from .common import client, common
from .output import Output


@click.command()
@common
def health(out: Output) -> None:
    """Check server, workers and scheduler. Exits 1 when the server can't be used; what is missing is said."""
    with client() as gopher:
        found = gopher.health()
    if not out.data(found):
        out.fields(
            [
                ("status", found.status),
                ("server", f"{found.redis.url} ({found.redis.latency_ms:.1f} ms)"),
                ("workers", str(found.workers)),
                ("scheduler", found.scheduler),
            ]
        )
    for reason in found.reasons:
        out.note(reason)
    if not found.workers and not any("no worker" in reason for reason in found.reasons):
        out.note("no worker is alive: start one with `gopherctl worker`")

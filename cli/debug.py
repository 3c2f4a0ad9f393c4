"""`debug`: for those who test Gopher itself. Not shown in `gopherctl --help`."""

import click

from .common import common
from .output import Output


@click.group()
def debug() -> None:
    """Look into Gopher itself."""


@debug.command("crash-points")
@common
def crash_points(out: Output) -> None:
    """List the points at which GOPHER_CRASH_AT=<name>[:n] has a process kill itself, one a line."""
    from gopher.queue.scripts import names as scripts
    from gopher.server.crashpoints import names

    if not out.data({"crash_points": names(scripts())}):
        for name in names(scripts()):
            click.echo(name)

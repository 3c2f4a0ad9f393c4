"""`debug`: for tests of Gopher itself. Not shown in `gopherctl --help`."""

import click

from .common import common
from .output import Output


@click.group()
def debug() -> None:
    """Tools for testing Gopher itself."""


@debug.command("crash-points")
@common
def crash_points(out: Output) -> None:
    """List the points at which GOPHER_CRASH_AT=<name>[:n] makes a process kill itself."""
    from gopher.queue.scripts import names as scripts
    from gopher.server.crashpoints import names

    if not out.data({"crash_points": names(scripts())}):
        for name in names(scripts()):
            click.echo(name)

"""`web`, `worker`, `scheduler`: one process each, as in the Procfile."""

import os
from collections.abc import Callable

import click

from gopher.config.settings import Settings

from .common import common, needs_server, setting
from .output import Output


def _run(run: Callable[[Settings], int], out: Output) -> int:
    """Run a process; it logs JSON with `--json`."""
    needs_server()
    if out.as_json:
        os.environ["LOG_FORMAT"] = "json"
    return run(Settings.from_env())


_HEALTH_FILE = click.option(
    "--health-file",
    metavar="PATH",
    expose_value=False,
    callback=setting("GOPHER_HEALTH_FILE"),
    help="Update this file for `gopherctl health --worker`.  [default: GOPHER_HEALTH_FILE]",
)


@click.command()
@common
def web(out: Output) -> int:
    """Run the HTTP API on SERVER_HOST and SERVER_PORT (or PORT). Logs in JSON with --json."""
    from gopher import app

    return _run(app.run, out)


@click.command()
@click.option(
    "--queues",
    metavar="NAMES",
    expose_value=False,
    callback=setting("WORKER_QUEUES"),
    help="Queues to serve, comma-separated, in order of preference.  [default: WORKER_QUEUES]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    expose_value=False,
    callback=setting("WORKER_CONCURRENCY"),
    help="Number of child processes, which run one job each.  [default: WORKER_CONCURRENCY]",
)
@_HEALTH_FILE
@common
def worker(out: Output) -> int:
    """Run a worker, which fetches jobs from its queues and runs them. Logs in JSON with --json."""
    from gopher import worker as process

    return _run(process.run, out)


@click.command()
@_HEALTH_FILE
@common
def scheduler(out: Output) -> int:
    """Run a scheduler, which enqueues due jobs and requeues those of lost workers. Logs in JSON with --json."""
    from gopher import scheduler as process

    return _run(process.run, out)

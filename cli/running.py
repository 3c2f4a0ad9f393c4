"""`web`, `worker`, `scheduler`: one process each, as in the Procfile."""

import os
from collections.abc import Callable
from typing import Any

import click

from gopher.config.environment import override
from gopher.config.settings import Settings
from gopher.jobs.module_search import require_modules

from .common import common, needs_server, setting
from .output import Output


def _run(run: Callable[[Settings], int], out: Output) -> int:
    """Run a process; it logs JSON with `--json`."""
    needs_server()
    if out.as_json:
        override(os.environ, "LOG_FORMAT", "json")
    settings = Settings.from_env()
    # Before anything starts, and before the server is waited for.
    require_modules(settings.handlers)
    return run(settings)


HANDLERS = click.option(
    "--handlers",
    metavar="MODULES",
    expose_value=False,
    callback=setting("GOPHER_HANDLERS"),
    help="Modules to import handlers from, comma-separated, such as shop.jobs.  [default: GOPHER_HANDLERS]",
)
RELOAD = click.option("--reload", is_flag=True, help="Restart whenever a Python file changes, for development.")
_HEALTH_FILE = click.option(
    "--health-file",
    metavar="PATH",
    expose_value=False,
    callback=setting("GOPHER_HEALTH_FILE"),
    help="Update this file for `gopherctl health --worker`.  [default: GOPHER_HEALTH_FILE]",
)


@click.command()
@HANDLERS
@common
def web(out: Output) -> int:
    """Run the HTTP API on SERVER_HOST and SERVER_PORT (or PORT). Logs in JSON with --json."""
    from gopher import app

    return _run(app.run, out)


class _Children(click.IntRange):
    """A number of children, or auto."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


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
    type=_Children(1, 1000),
    metavar="NUMBER",
    expose_value=False,
    callback=setting("WORKER_CONCURRENCY"),
    help="Number of child processes, which run one job each, or auto.  [default: WORKER_CONCURRENCY]",
)
@click.option(
    "--burst",
    is_flag=True,
    expose_value=False,
    callback=lambda context, parameter, value: setting("WORKER_BURST")(context, parameter, "1" if value else None),
    help="Exit once no job is waiting: with 1 if jobs became dead letters.",
)
@HANDLERS
@RELOAD
@_HEALTH_FILE
@common
def worker(out: Output, reload: bool) -> int:
    """Run a worker, which fetches jobs from its queues and runs them. Logs in JSON with --json."""
    if reload:
        from .reloading import run_worker

        return run_worker(out)
    from gopher import worker as process

    return _run(process.run, out)


@click.command()
@HANDLERS
@_HEALTH_FILE
@common
def scheduler(out: Output) -> int:
    """Run a scheduler, which enqueues due jobs and requeues those of lost workers. Logs in JSON with --json."""
    from gopher import scheduler as process

    return _run(process.run, out)

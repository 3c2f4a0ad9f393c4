"""`health`: checks server, workers and scheduler, or the liveness of one process."""

from dataclasses import replace

import click

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.telemetry import liveness

from .common import client, common, over_http, setting
from .output import Output

#: Timeout of a command in seconds: callers of probes have short timeouts themselves.
_TIMEOUT = 0.5


@click.command()
@click.option("--worker", is_flag=True, help="Only check the worker or scheduler with this health file.")
@click.option(
    "--health-file",
    metavar="PATH",
    expose_value=False,
    callback=setting("GOPHER_HEALTH_FILE"),
    help="Health file for --worker.  [default: GOPHER_HEALTH_FILE]",
)
@common
def health(out: Output, worker: bool) -> None:
    """Check server, workers and scheduler. Exits 1 if the server is unavailable.

    With --worker, for container probes: exits 1 if the worker or scheduler with this health file hangs or has lost its
    server.
    """
    settings = Settings.from_env()
    if worker:
        return _of_one(settings, out)
    return _of_all(settings, out)


def _of_one(settings: Settings, out: Output) -> None:
    if settings.health_file is None:
        raise click.UsageError("--worker requires --health-file or GOPHER_HEALTH_FILE.")
    beat = liveness.check(settings.health_file)
    if not out.data(beat):
        out.line(f"process {beat.pid} is alive")


def _impatient(settings: Settings) -> Client:
    return Client(settings=replace(settings, redis_timeout=min(settings.redis_timeout, _TIMEOUT)), connections=1)


def _of_all(settings: Settings, out: Output) -> None:
    with client() if over_http() else _impatient(settings) as gopher:
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
        out.note("no workers are running: start one with `gopherctl worker`")

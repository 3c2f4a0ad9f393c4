"""`health`: whether the server answers, and whether somebody works; or whether one worker lives."""

from dataclasses import replace

import click

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.telemetry import liveness

from .common import client, common, over_http, setting
from .output import Output

#: Seconds that one command may take: a probe is asked by what gives up early itself.
_TIMEOUT = 0.5


@click.command()
@click.option("--worker", is_flag=True, help="Look only whether the worker or scheduler with this health file lives.")
@click.option(
    "--health-file",
    metavar="PATH",
    expose_value=False,
    callback=setting("GOPHER_HEALTH_FILE"),
    help="The file for --worker; else GOPHER_HEALTH_FILE.",
)
@common
def health(out: Output, worker: bool) -> None:
    """Check server, workers and scheduler. Exits 1 when the server can't be used; what is missing is said.

    With --worker, for a container's probe: exits 1 when the worker or scheduler beside it hangs, or hears nothing
    from its server.
    """
    settings = Settings.from_env()
    if worker:
        return _of_one(settings, out)
    return _of_all(settings, out)


def _of_one(settings: Settings, out: Output) -> None:
    if settings.health_file is None:
        raise click.UsageError("--worker: say which file, with --health-file or GOPHER_HEALTH_FILE.")
    beat = liveness.check(settings.health_file)
    if not out.data(beat):
        out.line(f"process {beat.pid} lives")


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
        out.note("no worker is alive: start one with `gopherctl worker`")

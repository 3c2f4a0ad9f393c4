"""`health`: checks server, workers and scheduler, or the liveness of one process."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gopher.telemetry import liveness

from .common import client, common, over_http, setting
from .output import Output

if TYPE_CHECKING:
    from gopher.client import Client

#: The option and the variable that name the health file.
_VARIABLE = "GOPHER_HEALTH_FILE"
#: Timeout of a command in seconds: callers of probes have short timeouts themselves.
_TIMEOUT = 0.5


@click.command()
@click.option("--worker", is_flag=True, help="Only check the worker or scheduler with this health file.")
@click.option(
    "--health-file",
    metavar="PATH",
    expose_value=False,
    callback=setting(_VARIABLE),
    help="Health file for --worker.  [default: GOPHER_HEALTH_FILE]",
)
@common
def health(out: Output, worker: bool) -> None:
    """Check server, workers and scheduler. Exits 1 if the server is unavailable.

    With --worker, for container probes: exits 1 if the worker or scheduler with this health file hangs or has lost its
    server.
    """
    return _of_one(out) if worker else _of_all(out)


def _of_one(out: Output) -> None:
    # Probes run this every few seconds in each container: no other settings are read, and no client is imported.
    path = os.environ.get(_VARIABLE, "").strip()
    if not path:
        raise click.UsageError(f"--worker requires --health-file or {_VARIABLE}.")
    beat = liveness.check(Path(path).expanduser().absolute())
    if not out.data(beat):
        out.line(f"process {beat.pid} is alive")


def _impatient() -> "Client":
    from dataclasses import replace

    from gopher.client import Client
    from gopher.config.settings import Settings

    settings = Settings.from_env()
    return Client(settings=replace(settings, redis_timeout=min(settings.redis_timeout, _TIMEOUT)), connections=1)


def _of_all(out: Output) -> None:
    from gopher.reads.advice import NO_WORKERS, pause_notes

    with client() if over_http() else _impatient() as gopher:
        found = gopher.health()
    if not out.data(found):
        out.fields(
            [
                ("status", found.status),
                ("server", f"{found.redis.url} ({found.redis.latency_ms:.1f} ms)" if found.redis else None),
                ("workers", None if found.workers is None else str(found.workers)),
                ("scheduler", found.scheduler),
            ]
        )
    for reason in [*found.reasons, *pause_notes(found.paused_queues, found.paused_types)]:
        out.note(reason)
    if found.workers == 0 and not any("no worker" in reason for reason in found.reasons):
        out.note(NO_WORKERS)

"""`health`: whether the server answers, and whether somebody works."""

import time
from typing import Any

import click

from gopher import __version__
from gopher.client import Client
from gopher.server import explained
from gopher.times import to_rfc3339

from .common import client, common
from .hints import NO_SCHEDULER
from .output import Output


@click.command()
@common
def health(out: Output) -> None:
    """Check server, workers and scheduler. Exits 1 when the server can't be used; what is missing is said."""
    with client() as gopher:
        problems, report = _examine(gopher)
    if not out.data(report):
        out.fields(
            [
                ("status", report["status"]),
                ("server", f"{report['redis']['url']} ({report['redis']['latency_ms']:.1f} ms)"),
                ("workers", str(report["workers"])),
                ("scheduler", report["scheduler"]),
            ]
        )
    for problem in problems:
        out.note(problem)


def _examine(gopher: Client) -> tuple[list[str], dict[str, Any]]:
    """Return what is missing, and the report in the words of the API's /health."""
    start = time.perf_counter()
    with explained():
        gopher.server.client.ping()
    latency = time.perf_counter() - start
    workers, schedulers = gopher.workers(), gopher.inspector.schedulers()
    served = {queue for worker in workers for queue in worker.queues}
    problems = [
        f"queue {name!r} has jobs and no worker: start one with `gopherctl worker --queues {name}`"
        for name, queue in gopher.stats().queues.items()
        if name not in served and queue.waiting + queue.scheduled + queue.retrying
    ]
    if not workers and not problems:
        problems.append("no worker is alive: start one with `gopherctl worker`")
    if not schedulers:
        problems.append(NO_SCHEDULER)
    return problems, {
        "status": "degraded" if problems else "healthy",
        "timestamp": to_rfc3339(gopher.inspector.now()),
        "version": __version__,
        "redis": {"url": str(gopher.settings.server_address), "latency_ms": round(latency * 1000, 3)},
        "workers": len(workers),
        "scheduler": "alive" if schedulers else "missing",
    }

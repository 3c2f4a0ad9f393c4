"""The scheduler: promotes due jobs, rescues jobs of lost workers, and prunes old records."""

from gopher.base import own_process
from gopher.base.first_process import end_on_sigterm
from gopher.config.settings import Settings


def run(settings: Settings) -> int:
    """Run a scheduler until it is stopped; return its exit code."""
    end_on_sigterm()
    own_process.begin()
    from gopher.jobs.loading import load_handlers
    from gopher.queue.preflight import check_server
    from gopher.queue.store import Server
    from gopher.telemetry import logs, tracing

    from .loop import Scheduler

    logs.configure(settings)
    registry = load_handlers(settings.handlers)
    with Server(settings, connections=1) as server:
        check_server(server)
    tracing.start("gopher-scheduler")
    try:
        return Scheduler(settings, registry).run()
    finally:
        tracing.stop()

"""The worker: a supervisor that talks to the queue, and children that run handlers."""

from gopher.settings import Settings


def run(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    from gopher import logs
    from gopher.registry import load_handlers, preload

    from .supervisor import Supervisor

    logs.configure(settings)
    registry = load_handlers(settings.handlers)
    preload(settings.handlers)
    return Supervisor(settings, registry).run()

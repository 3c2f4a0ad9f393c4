"""The worker: a supervisor that talks to the queue, and children that run handlers."""

from gopher.config.settings import Settings

#: Open files that a supervisor needs, and for each child.
_DESCRIPTORS, _DESCRIPTORS_PER_CHILD = 40, 5


def run(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    from gopher.jobs.handlers import load_handlers, preload
    from gopher.queue.preflight import check_server
    from gopher.queue.store import Server
    from gopher.telemetry import logs, tracing

    from .children.system import need_descriptors
    from .children.watch import watch
    from .supervisor import Supervisor

    logs.configure(settings)
    need_descriptors(_DESCRIPTORS + _DESCRIPTORS_PER_CHILD * settings.worker_concurrency)
    # Before the first fork, and closed again: children must not inherit a connection.
    with Server(settings, connections=1) as server:
        check_server(server)
    watch.begin()
    registry = load_handlers(settings.handlers)
    preload(settings.handlers)
    if tracing.is_on():
        # Shared by all children, too; nothing of it starts a thread.
        tracing.preload()
    return Supervisor(settings, registry).run()

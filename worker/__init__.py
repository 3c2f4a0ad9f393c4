"""The worker: a supervisor that communicates with the queue, and children that run handlers."""

from dataclasses import replace
from typing import TYPE_CHECKING

from gopher.config.settings import Settings

if TYPE_CHECKING:
    from gopher.jobs.handlers import Registry

#: Open files of a supervisor, and in addition for each child.
_DESCRIPTORS, _DESCRIPTORS_PER_CHILD = 40, 6


def run(settings: Settings) -> int:
    """Run a worker until it is stopped; return its exit code."""
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
    settings, registry = _load(settings)
    if tracing.is_on():
        # Shared by all children, too; it starts no threads.
        tracing.preload()
    return Supervisor(settings, registry).run()


def _load(settings: Settings) -> "tuple[Settings, Registry]":
    """Load the handlers; return the settings with the way in which children can be started then."""
    from gopher.jobs.loading import load_handlers, preload
    from gopher.telemetry.logs import get_logger

    from .children.fork_safety import Threads, libraries_with_threads
    from .children.random_numbers import find_generators

    threads = Threads()
    registry = load_handlers(settings.handlers, threads.started_by)
    if settings.worker_start_method == "spawn":
        # Each child does the rest for itself.
        return settings, registry
    preload(settings.handlers, threads.started_by)
    left = threads.that_a_fork_leaves()
    if not left:
        find_generators()
        return settings, registry
    get_logger("worker").warning(
        "children are spawned, not forked: modules of handlers have started threads, which a forked process lacks",
        threads=left,
        libraries=libraries_with_threads(),
        remedy="start them in on_child_start(), or set WORKER_START_METHOD=spawn",
    )
    return replace(settings, worker_start_method="spawn"), registry

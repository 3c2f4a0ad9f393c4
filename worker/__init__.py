"""The worker: a supervisor that communicates with the queue, and children that run handlers."""

from dataclasses import replace
from typing import TYPE_CHECKING

from gopher.base import own_process
from gopher.base.first_process import end_on_sigterm
from gopher.config.settings import Settings

if TYPE_CHECKING:
    from gopher.jobs.registry import Registry

#: Open files of a supervisor, and in addition for each child.
_DESCRIPTORS, _DESCRIPTORS_PER_CHILD = 40, 6


def run(settings: Settings) -> int:
    """Run a worker until it is stopped; return its exit code."""
    end_on_sigterm()
    own_process.begin()
    from gopher.files.opening import check_store
    from gopher.queue.preflight import check_server
    from gopher.queue.store import Server
    from gopher.server import own_threads
    from gopher.telemetry import logs, tracing

    from .children.system import need_descriptors, refuse_new_privileges
    from .children.thread_pools import limit_thread_pools
    from .children.watch import watch
    from .environment import hide
    from .preemption import preempts
    from .supervisor import Supervisor

    logs.configure(settings)
    # What is started from here on inherits both.
    hide(settings.worker_hide_env)
    refuse_new_privileges()
    check_store(settings)
    need_descriptors(_DESCRIPTORS + _DESCRIPTORS_PER_CHILD * settings.worker_concurrency)
    own_threads.forbid()
    # Before the first fork, and closed again: children must not inherit a connection.
    with Server(settings, connections=1) as server:
        check_server(server)
    watch.begin()
    # Libraries read it when handlers import them.
    limit_thread_pools(settings.worker_threads, settings.worker_concurrency)
    settings, registry = _load(settings)
    if preempts(settings, registry):
        # As many children more, if all are frozen.
        need_descriptors(_DESCRIPTORS + 2 * _DESCRIPTORS_PER_CHILD * settings.worker_concurrency)
    if tracing.is_on():
        # Shared by all children, too; it starts no threads.
        tracing.preload()
    return Supervisor(settings, registry).run()


def _load(settings: Settings) -> "tuple[Settings, Registry]":
    """Load the handlers; return the settings with the way in which children can be started then."""
    from gopher.hooks.lifecycle import preload
    from gopher.jobs.loading import load_handlers
    from gopher.telemetry.logs import get_logger
    from gopher.webhooks import delivering as webhooks

    from .children.fork_safety import Threads, libraries_with_threads
    from .children.random_numbers import find_generators

    threads = Threads()
    registry = load_handlers(settings.handlers, threads.started_by)
    webhooks.register(settings)
    if settings.worker_start_method == "spawn":
        # Each child does the rest for itself.
        return settings, registry
    preload(settings.handlers, threads.started_by)
    left = threads.that_a_fork_leaves()
    if not left:
        find_generators()
        return settings, registry
    get_logger("worker").warning(
        "children are spawned, not forked: handler modules have started threads, which forked processes would lack",
        threads=left,
        libraries=libraries_with_threads(),
        remedy="start them in on_child_start(), or set WORKER_START_METHOD=spawn",
    )
    return replace(settings, worker_start_method="spawn"), registry

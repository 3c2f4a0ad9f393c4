"""Spawned children, which are not forked: each imports the handlers itself, and has its own threads.

That takes more time and memory, since nothing is shared; it is for handlers whose libraries do not survive a fork.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable

import msgspec

from gopher.base.parent_death import die_with_parent
from gopher.compat import interpreter_flags
from gopher.jobs.registry import Registry

from . import interrupt
from .channel import ChildEnd, SupervisorEnd
from .child import Child
from .claims import Claims
from .shared import SharedMemory

#: Of the blocks of shared memory.
INTERRUPT, CLAIMS = 0, 1


class Given(msgspec.Struct):
    """What a child is told at its start; numbers are descriptors that it inherits."""

    parent: int
    channel: int
    output: int
    memory: int
    stacks: int
    spans: int | None
    memory_limit: int | None
    handlers: tuple[str, ...]
    path: list[str]


def spawn(
    channel: SupervisorEnd,
    output: int,
    memory: SharedMemory,
    stacks: int,
    registry: Registry,
    memory_limit: int | None,
    spans: socket.socket | None,
) -> int:
    """Start a child; return its pid. Raises OSError."""
    inherited = [channel.child_fileno(), output, memory.descriptor, stacks, *([spans.fileno()] if spans else ())]
    given = Given(
        parent=os.getpid(),
        channel=channel.child_fileno(),
        output=output,
        memory=memory.descriptor,
        stacks=stacks,
        spans=spans.fileno() if spans else None,
        memory_limit=memory_limit,
        handlers=registry.modules,
        path=sys.path,
    )
    command = [sys.executable, *interpreter_flags(), "-m", __name__, msgspec.json.encode(given).decode()]
    _set_inheritable(inherited, True)
    try:
        # Blocked until the child has its handlers: one that comes earlier would end it.
        return os.posix_spawn(sys.executable, command, os.environ, setsigmask=_BLOCKED)
    finally:
        _set_inheritable(inherited, False)


_BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR2, interrupt.SIGNAL)


def _set_inheritable(descriptors: Iterable[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)


def _prepare(given: Given) -> Callable[[], None]:
    """Return what makes this process a child."""
    from gopher.config.settings import Settings
    from gopher.hooks.lifecycle import preload
    from gopher.jobs.loading import load_handlers
    from gopher.server import own_threads
    from gopher.telemetry import logs
    from gopher.webhooks import delivering as webhooks

    from .random_numbers import find_generators
    from .watch import watch

    settings = Settings.from_env()
    logs.configure(settings)
    watch.begin()
    own_threads.forbid()
    registry = load_handlers(given.handlers)
    webhooks.register(settings)
    preload(given.handlers)
    find_generators()
    memory = SharedMemory(given.memory)
    child = Child(
        ChildEnd(socket.socket(fileno=given.channel)),
        interrupt.Interrupt(memory.block(INTERRUPT)),
        Claims(memory.block(CLAIMS), memory.lock()),
        registry,
        given.memory_limit,
        socket.socket(fileno=given.spans) if given.spans is not None else None,
    )
    return lambda: child.run((), given.output, given.stacks, given.parent)


def _main() -> None:
    given = msgspec.json.decode(sys.argv[1], type=Given)
    die_with_parent(given.parent, signal.SIGKILL)
    sys.path[:] = given.path
    # It looks like the worker itself, and is not to be seen by handlers that read their arguments.
    del sys.argv[1:]
    _set_inheritable([given.channel, given.output, given.memory, given.stacks], False)

    def run() -> None:
        _prepare(given)()

    from .fork import run_and_exit

    run_and_exit(run)


if __name__ == "__main__":
    _main()

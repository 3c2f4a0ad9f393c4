"""Starts a child, by fork or spawn, with the objects that it shares with the supervisor."""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

from gopher.config.settings import Settings
from gopher.jobs.registry import Registry

from .capture import CapturedOutput
from .channel import SupervisorEnd
from .child import Child
from .claims import Claims
from .fork import fork
from .interrupt import Interrupt
from .shared import SharedMemory
from .spawn import CLAIMS, INTERRUPT, spawn
from .stacks import StackFile


class Shared(NamedTuple):
    """What the supervisor has of a child."""

    channel: SupervisorEnd
    output: CapturedOutput
    stop: Interrupt
    claims: Claims
    stacks: StackFile


def start_child(
    settings: Settings, registry: Registry, inherited: Callable[[], Iterable[int]], spans: socket.socket | None
) -> tuple[int, Shared]:
    """Start a child; return its pid and what is shared with it. Raises OSError.

    `inherited` returns the descriptors that a forked child must close; `spans` is where it sends its spans.
    """
    start = _spawned if settings.worker_start_method == "spawn" else _forked
    with ExitStack() as after, ExitStack() as unless_started:
        # Any of them may be one open file too many.
        channel = SupervisorEnd()
        unless_started.callback(channel.close)
        output = CapturedOutput()
        after.callback(output.close_writer)
        unless_started.callback(output.close)
        stacks = StackFile()
        unless_started.callback(stacks.close)
        pid, stop, claims = start(settings, registry, inherited, spans, channel, output, stacks)
        unless_started.pop_all()
    return pid, Shared(channel, output, stop, claims, stacks)


def _forked(
    settings: Settings,
    registry: Registry,
    inherited: Callable[[], Iterable[int]],
    spans: socket.socket | None,
    channel: SupervisorEnd,
    output: CapturedOutput,
    stacks: StackFile,
) -> tuple[int, Interrupt, Claims]:
    stop, claims, parent = Interrupt(), Claims(), os.getpid()

    def run() -> None:
        child = Child(channel.child_end(), stop, claims, registry, settings.worker_max_address_space_per_child, spans)
        child.run([*inherited(), channel.fileno(), output.fileno()], output.writer, stacks.descriptor, parent)

    return fork(run), stop, claims


def _spawned(
    settings: Settings,
    registry: Registry,
    _inherited: Callable[[], Iterable[int]],
    spans: socket.socket | None,
    channel: SupervisorEnd,
    output: CapturedOutput,
    stacks: StackFile,
) -> tuple[int, Interrupt, Claims]:
    memory = SharedMemory()
    try:
        limit = settings.worker_max_address_space_per_child
        pid = spawn(channel, output.writer, memory, stacks.descriptor, registry, limit, spans)
    except OSError:
        memory.close()
        raise
    return pid, Interrupt(memory.block(INTERRUPT)), Claims(memory.block(CLAIMS), memory.lock())

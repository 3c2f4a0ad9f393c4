"""Reads the children's messages from their channels, and handlers' output from their pipes."""

import selectors
import time

import msgspec

from gopher.base.salvage import UNREADABLE

from .children import system
from .children.capture import CapturedOutput
from .children.channel import SupervisorEnd
from .children.handle import ChildHandle
from .children.pool import Pool
from .messages import OUTCOMES, Completed, Failed, Message, Progress, Ready, Retiring, decode_message
from .outcomes import Outcomes


class ChildIO:
    """Reads when the selector reports events. A selector's data is called with the event mask."""

    def __init__(self, selector: selectors.BaseSelector, pool: Pool, outcomes: Outcomes) -> None:
        self._selector = selector
        self._pool = pool
        self._outcomes = outcomes

    def watch(self, child: ChildHandle) -> None:
        """Read from a child from now on."""
        self._selector.register(child.output, selectors.EVENT_READ, lambda mask: self._read_output(child))
        self._selector.register(child.channel, selectors.EVENT_READ, lambda mask: self._read_channel(child, mask))

    def unwatch(self, child: ChildHandle) -> None:
        for end in (child.output, child.channel):
            if self._is_watched(end):
                self._selector.unregister(end)

    def read_last(self, child: ChildHandle) -> None:
        """Read what a child had sent before it died: complete messages count."""
        if not child.killed:
            self._read_channel(child, 0)
        if self._is_watched(child.output):
            child.output.read(child.running_number)
            child.output.finish_line(child.running_number)

    def watch_for_room(self) -> None:
        """Watch whether channels with unsent bytes are writable."""
        for child in self._pool.children.values():
            if child.channel.outbox:
                self._watch_for_room(child)

    def _read_output(self, child: ChildHandle) -> None:
        if not child.output.read(child.running_number):
            self._selector.unregister(child.output)

    def _read_channel(self, child: ChildHandle, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            child.channel.flush()
        messages = child.channel.receive()
        if messages:
            # A job's output was written before its end was reported.
            child.output.read(child.running_number)
        for data in messages:
            try:
                message = decode_message(data)
            except UNREADABLE:
                # A handler has written to the channel, so it can't be trusted any more.
                self._pool.kill(child, "nonsense")
                break
            self._take_message(child, message)
        self._watch_for_room(child)

    def _watch_for_room(self, child: ChildHandle) -> None:
        """Watch whether a child's channel is writable only while there is something to send."""
        waits = bool(child.channel.outbox)
        if waits != child.writing and self._is_watched(child.channel):
            child.writing = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self._selector.modify(child.channel, events, lambda mask: self._read_channel(child, mask))

    def _is_watched(self, end: SupervisorEnd | CapturedOutput) -> bool:
        return end.fileno() in self._selector.get_map()

    def _is_of_running(self, child: ChildHandle, message: Completed | Failed | Progress) -> bool:
        return bool(child.jobs) and message.number == child.jobs[0].number and not child.killed

    def _take_message(self, child: ChildHandle, message: Message) -> None:
        # The most frequent first.
        if isinstance(message, OUTCOMES):
            if self._is_of_running(child, message):
                self._outcomes.finish(child, message)
        elif isinstance(message, Ready):
            child.ready = True
            child.fresh = child.resident = system.resident_bytes(child.pid)
        elif isinstance(message, Retiring):
            self._pool.retire(child, message.why, time.monotonic())
        elif self._is_of_running(child, message):
            head = child.jobs[0]
            head.progress = msgspec.json.encode({"fraction": message.fraction, "message": message.message})

"""What a handler reports about its job, on the child's side."""

import time
from contextlib import suppress

from gopher.worker.messages import Progress, encode

from gopher.jobs.job import Reporter

from . import failures, interrupt
from .channel import ChildEnd
from .streams import Streams

#: Minimum seconds between two progress reports of a job.
_PROGRESS_PERIOD = 0.1


class ChildReporter(Reporter):
    """Sends a handler's reports to the supervisor."""

    _next_report = 0.0

    def __init__(self, channel: ChildEnd, stop: interrupt.Interrupt, number: int, streams: Streams) -> None:
        self._streams = streams
        self._channel = channel
        self._stop = stop
        self._number = number

    def progress(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        if now >= self._next_report or fraction >= 1:
            self._next_report = now + _PROGRESS_PERIOD
            text = failures.encodable(failures.cut(message, 200))
            with suppress(OSError):
                self._channel.send(encode(Progress(self._number, fraction, text)))

    def log(self, line: str) -> None:
        self._streams.say(line)

    def cancelled(self) -> bool:
        return self._stop.reason_for(self._number) == interrupt.CANCEL

    def frozen_seconds(self) -> float:
        return self._stop.frozen_seconds(self._number)

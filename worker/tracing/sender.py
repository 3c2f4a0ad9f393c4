"""Sends a child's spans to the worker's exporter."""

import socket
import time
from typing import TYPE_CHECKING

import msgspec

from . import spans
from .attempts import Attempts, make_ids
from .spans import Finished, Killed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

#: Maximum bytes of a frame: the kernel's default socket buffer has room for a few.
LARGEST = 100_000
#: Seconds that a child waits for room in the socket, and for which it drops spans after a timeout. On a busy machine
#: the exporter may be slow; if it is stuck, it must not delay every job.
_PATIENCE, _REST = 2.0, 10.0


class Sender:
    """Sends frames. Never raises, since tracing must not fail jobs."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._silent_until = 0.0

    def send(self, frame: Finished | Killed) -> bool:
        """Send a frame; return whether it was sent."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._end.send(_encoded(frame))
        except TimeoutError:
            self._silent_until = time.monotonic() + _REST
            return False
        except (OSError, ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            return False
        return True


def _encoded(frame: Finished | Killed) -> bytes:
    data = spans.encode(frame)
    if len(data) > LARGEST and isinstance(frame, Finished):
        # The span itself is most important; its events may be of any size.
        data = spans.encode(msgspec.structs.replace(frame, attributes={"gopher.too_large": len(data)}, events=[]))
    return data


def in_child(end: socket.socket) -> Attempts:
    """Set up tracing in a child: its spans and those of its handlers are sent to the exporter when they end."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    end.settimeout(_PATIENCE)
    sender = Sender(end)

    class Handing(SpanProcessor):
        def on_end(self, span: "ReadableSpan") -> None:
            if span.context is not None and span.context.trace_flags.sampled:
                sender.send(spans.from_span(span))

    ids = make_ids()
    # The exporter adds the resource.
    provider = TracerProvider(resource=Resource.get_empty(), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(Handing())
    trace.set_tracer_provider(provider)
    return Attempts(provider, ids)

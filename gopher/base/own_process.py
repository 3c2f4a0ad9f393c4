"""Gopher's own processes: the API, a worker, a scheduler, `gopherctl`. A program that imports Gopher is none.

redis-py imports the metrics of OpenTelemetry's SDK if that is installed, just to note that it is, and takes a third
longer. Own processes hide them meanwhile. What uses redis-py's metrics imports them itself, so handlers still can.
"""

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

_SDK = "opentelemetry.sdk.metrics"
_is_own = False


def begin() -> None:
    """Note that this process is one of Gopher's own. Called before anything imports redis-py."""
    global _is_own  # noqa: PLW0603 - a process is one or is not
    _is_own = True


@contextmanager
def importing_redis() -> Iterator[None]:
    """Hide the SDK's metrics in an own process, unless they have been imported."""
    modules: MutableMapping[str, Any] = sys.modules
    if not _is_own or _SDK in modules:
        yield
        return
    # Python's way to say that there is no such module.
    modules[_SDK] = None
    try:
        yield
    finally:
        modules.pop(_SDK, None)

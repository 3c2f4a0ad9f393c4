"""Whether a stream is a terminal that shows colours."""

import os
from typing import IO, Any

#: Terminals without colours, and without control of the cursor.
_DUMB = ("", "dumb", "unknown")


def is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in _DUMB


def wants_colours() -> bool:
    """Return whether colours may be used at all: see https://no-color.org."""
    return not os.environ.get("NO_COLOR") and not is_dumb()


def shows_colours(stream: IO[Any]) -> bool:
    return stream.isatty() and wants_colours()

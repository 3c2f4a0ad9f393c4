"""What changes the whole process of the tests, and is set back."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from gopher.cli import main


@contextmanager
def logging_kept() -> Iterator[None]:
    """Set logging back: else what later tests log would be in their reports, which can't carry every text."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()


def run_command(arguments: Sequence[str]) -> int:
    """Run a command in this process, and return its exit code. Some configure logging."""
    with logging_kept():
        return main.run(arguments)

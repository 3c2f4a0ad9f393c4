"""Progress bars, on stderr and on a terminal only."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .output import draws

#: Called with the number done, and the bytes of the file read for them, or how much of the total is done.
Counter = Callable[[int, int], None]


@contextmanager
def counting(file: BinaryIO | int, what: str) -> Iterator[Counter]:
    """Show a bar for the bytes of a file, or for a total, with the count of processed entries, and the rate."""
    if not draws(sys.stderr):
        yield lambda done, read: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    size = file or None if isinstance(file, int) else _size(file)
    columns = [TextColumn("{task.fields[done]:,} {task.description}"), BarColumn(), TextColumn("{task.fields[rate]}/s")]
    columns += [TimeElapsedColumn(), *([TimeRemainingColumn()] if size else [])]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=size, done=0, rate="-")

        def count(done: int, read: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:,.0f}" if elapsed else "-"
            bar.update(task, completed=read, done=done, rate=rate)

        yield count


def _size(file: BinaryIO) -> int | None:
    """Return a file's size in bytes, None for a pipe or an empty file."""
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_size or None if stat.S_ISREG(found.st_mode) else None

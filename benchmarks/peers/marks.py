"""What every contender's jobs do: nothing but a count, a time stamp, or a picture. Needs the standard library only.

The counts lie in shared memory, a file a process, so that counting costs a job less than a microsecond and asks
nothing of the server that is measured.
"""

import mmap
import os
import struct
import time

FOLDER = os.environ.get("BENCH_FOLDER", "")


class _Counter:
    """How many jobs this process has done."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.done = 0
        with open(os.path.join(FOLDER, f"count-{self.owner}"), "w+b") as file:
            file.write(bytes(8))
            file.flush()
            self.page = mmap.mmap(file.fileno(), 8)


_counters: list[_Counter] = []


def count() -> None:
    """Count one job as done, in this process's file."""
    # A process that was forked after its parent had counted needs a file of its own.
    if not _counters or _counters[0].owner != os.getpid():
        _counters[:] = [_Counter()]
    counter = _counters[0]
    counter.done += 1
    struct.pack_into("<q", counter.page, 0, counter.done)


def noop() -> None:
    """The job that does nothing."""
    count()


def stamp(sent: int) -> None:
    """Note when a job began; `sent` is the time (ns) that it was sent or due."""
    line = b"%d\n" % (time.time_ns() - sent)
    descriptor = os.open(os.path.join(FOLDER, "stamps"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line)
    os.close(descriptor)
    count()


def image() -> None:
    """Shrink a picture of 6 megapixels: some 40 ms of one core."""
    from PIL import Image

    Image.linear_gradient("L").resize((3000, 2000)).convert("RGB").resize((600, 400), Image.Resampling.BICUBIC)
    count()

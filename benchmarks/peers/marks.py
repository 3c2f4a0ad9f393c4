"""The jobs of all contenders: a count, a time stamp, or a picture. Needs only the standard library.

Counts are in shared memory, a file per process, so that counting costs less than a microsecond per job and does not
use the measured server.
"""

import mmap
import os
import struct
import time

FOLDER = os.environ.get("BENCH_FOLDER", "")


class _Counter:
    """The number of jobs done by this process."""

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
    # A process that was forked after its parent had counted needs its own file.
    if not _counters or _counters[0].owner != os.getpid():
        _counters[:] = [_Counter()]
    counter = _counters[0]
    counter.done += 1
    struct.pack_into("<q", counter.page, 0, counter.done)


def noop() -> None:
    """The job that does nothing."""
    count()


def stamp(sent: int) -> None:
    """Record when a job started; `sent` is the time (ns) at which it was sent or due."""
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

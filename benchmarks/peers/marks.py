"""What every contender's jobs do: nothing but a count, a time stamp, or a picture. Needs the standard library only.

The counts lie in shared memory, a file a process, so that counting costs a job less than a microsecond and asks
nothing of the server that is measured.
"""

import mmap
import os
import struct
import time

FOLDER = os.environ.get("BENCH_FOLDER", "")

_page: mmap.mmap | None = None
_owner = 0
_done = 0


def count() -> None:
    """Count one job as done, in this process's file."""
    global _done
    if _owner != os.getpid():
        _open()
    _done += 1
    assert _page is not None
    struct.pack_into("<q", _page, 0, _done)


def _open() -> None:
    global _page, _owner, _done
    _owner, _done = os.getpid(), 0
    path = os.path.join(FOLDER, f"count-{_owner}")
    with open(path, "w+b") as file:
        file.write(bytes(8))
        file.flush()
        _page = mmap.mmap(file.fileno(), 8)


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
    """Shrink a picture of 12 megapixels to 800 x 600: some 40 ms of one core."""
    from PIL import Image

    Image.linear_gradient("L").resize((4000, 3000)).convert("RGB").resize((800, 600), Image.Resampling.LANCZOS)
    count()

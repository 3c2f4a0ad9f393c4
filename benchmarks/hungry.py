"""Handlers for `benchmarks.packing`: each type needs memory of its own size."""

import time

from gopher import Job, handler

#: Megabytes of a job of each type, give or take a twentieth.
SIZES = (100, 200, 300, 400)


def _hungry(megabytes: int, seconds: float) -> int:
    began = time.monotonic()
    kept = bytearray(megabytes * 10**6)
    # Each page is written to, so that it is there.
    kept[::4096] = b"x" * len(range(0, len(kept), 4096))
    time.sleep(max(seconds - (time.monotonic() - began), 0))
    return len(kept)


def _register(size: int) -> None:
    @handler(f"hungry_{size}", timeout=120)
    def hungry(job: Job, payload: dict[str, float]) -> int:
        return _hungry(int(payload["megabytes"]), payload["seconds"])


for _size in SIZES:
    _register(_size)

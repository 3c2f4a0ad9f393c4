"""Threads that handlers' modules have started in the parent: a forked child has none of them.

A library that keeps a pool of threads (OpenMP under scikit-learn, libvips) waits in a forked child for threads that
exist in the parent only, until the job is killed. Some libraries are prepared for a fork: OpenBLAS, under numpy, ends
its threads before and starts others later. So what counts are those threads that a fork leaves running.
"""

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from typing import NamedTuple

#: Libraries known to keep threads, as they appear among the files that are mapped.
_LIBRARIES = re.compile(
    r"/(lib(?:gomp|omp|iomp5|vips(?:-cpp)?|tbb|mkl_[a-z]+_thread|openblas|scipy_openblas|grpc|torch_cpu|arrow|"
    r"tensorflow_framework|opencv_core))\b[^/]*\.so"
)


class Started(NamedTuple):
    """Threads (their native ids and names) that were started while something was done."""

    by: str
    threads: dict[int, str]


class Threads:
    """Notes which threads are started, and by what."""

    def __init__(self) -> None:
        self._started: list[Started] = []

    @contextmanager
    def started_by(self, what: str) -> Iterator[None]:
        before = _running()
        yield
        new = {thread: name for thread, name in _running().items() if thread not in before}
        if new:
            self._started.append(Started(what, new))

    def that_a_fork_leaves(self) -> str:
        """Return which of them are still running after a fork, and what started them; "" if there are none."""
        if not self._started:
            return ""
        _fork_once()
        running = _running()
        left = [(by, [name for thread, name in threads.items() if thread in running]) for by, threads in self._started]
        return "; ".join(f"{by}: {_counted(names)}" for by, names in left if names)


def libraries_with_threads() -> str:
    """Return the names of libraries in this process that are known to keep threads."""
    try:
        with open("/proc/self/maps") as file:
            return ", ".join(sorted(set(_LIBRARIES.findall(file.read()))))
    except OSError:
        return ""


def _counted(names: list[str]) -> str:
    shown = ", ".join(sorted(set(names))[:5])
    return f"{len(names)} thread{'s' if len(names) > 1 else ''} ({shown})"


def _fork_once() -> None:
    """Let libraries do what they do at a fork."""
    with warnings.catch_warnings():
        # This is what Python warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def _running() -> dict[int, str]:
    """Return the threads of this process by their ids: those of C libraries too, where the system tells."""
    threads = {thread.native_id or 0: thread.name for thread in threading.enumerate()}
    for file in glob("/proc/self/task/*/comm"):
        try:
            with open(file, errors="replace") as opened:
                threads.setdefault(int(file.split("/")[4]), opened.read().strip())
        except OSError:
            # It has just ended.
            continue
    return threads

"""Limits the thread pools of native libraries, which have a thread per core in every child otherwise."""

import os
from collections.abc import MutableMapping

from gopher.config import machine

#: Read by each library when it is loaded: OpenMP, OpenBLAS, MKL, BLIS, Accelerate, numexpr, OpenCV, libvips, and Rayon.
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "VIPS_CONCURRENCY",
    "RAYON_NUM_THREADS",
)


def limit_thread_pools(threads: str, children: int, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables that are not set to the number of threads for each child; `auto` shares the cores out."""
    if threads == "off":
        return
    number = max(1, machine.cores() // children) if threads == "auto" else int(threads)
    for name in VARIABLES:
        environ.setdefault(name, str(number))

"""The folder in which the API's processes share their own counters (files mapped into memory)."""

import atexit
import os
import shutil
import tempfile

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def ensure() -> None:
    """Make a folder of our own, unless one is given; it goes when the process that made it ends.

    The metrics library looks for it when it is imported, so this comes before.
    """
    if os.environ.get(_VARIABLE):
        os.makedirs(os.environ[_VARIABLE], exist_ok=True)
        return
    folder = os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="gopher-metrics-")
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

"""The folder in which the API's processes share their counters (memory-mapped files)."""

import atexit
import os
import shutil
import tempfile

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def ensure() -> None:
    """Create the folder unless one is configured; it is deleted when the process that created it ends.

    The metrics library checks for it when it is imported, so this must be called before.
    """
    if os.environ.get(_VARIABLE):
        os.makedirs(os.environ[_VARIABLE], exist_ok=True)
        return
    folder = os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="gopher-metrics-")
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

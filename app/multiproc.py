"""The folder in which the API's processes share their counters (memory-mapped files).

Each process adds files of its own, and every scrape reads them all. Those of ended processes are added to one file for
each type of metric, so that their number does not grow.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "gopher-metrics-"
#: Locked while a folder that we have created is in use, and while its files are read or added.
_OWNED, _LOCK = ".owned", ".lock"
#: Types of metrics that are added up, and what their common file is called in place of a process id.
_ADDED, _ENDED = ("counter", "histogram"), "ended"


def ensure() -> None:
    """Create the folder unless one is configured; it is deleted when the process that created it ends.

    The metrics library checks for it when it is imported, so this must be called before.
    """
    if os.environ.get(_VARIABLE):
        os.makedirs(os.environ[_VARIABLE], exist_ok=True)
        return
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = os.environ[_VARIABLE] = tempfile.mkdtemp(prefix=_PREFIX)
    # Never closed: it is locked until the last process that has inherited it ends, even if it is killed.
    fcntl.flock(os.open(Path(folder, _OWNED), os.O_CREAT | os.O_RDWR), fcntl.LOCK_SH)
    atexit.register(_remove, folder, os.getpid())


@contextmanager
def reading() -> Iterator[None]:
    """Read the files while none is added to another one."""
    with _locked(fcntl.LOCK_SH):
        yield


def add_ended(ended: Iterable[int] | None = None) -> None:
    """Add the files of ended processes to those of all that have ended; by default of all that do not exist."""
    folder = Path(os.environ[_VARIABLE])
    known = None if ended is None else set(ended)
    with _locked(fcntl.LOCK_EX):
        for kind in _ADDED:
            files = [
                path
                for path in folder.glob(f"{kind}_*.db")
                if (pid := _pid_of(path)) is not None and (not _exists(pid) if known is None else pid in known)
            ]
            if files:
                _add(files, folder / f"{kind}_{_ENDED}.db")


def _add(files: list[Path], to: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    total = MmapedDict(str(to))  # type: ignore[no-untyped-call]
    for path in files:
        # A process that was killed while it wrote may have left a file that can't be read: it is removed, too.
        with suppress(Exception):
            for key, value, at, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                total.write_value(key, total.read_value(key)[0] + value, at)  # type: ignore[no-untyped-call]
        path.unlink()
    total.close()  # type: ignore[no-untyped-call]


def _pid_of(path: Path) -> int | None:
    number = path.stem.rpartition("_")[2]
    return int(number) if number.isdecimal() else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _locked(how: int) -> Iterator[None]:
    descriptor = os.open(Path(os.environ[_VARIABLE], _LOCK), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove the folders of processes that were killed."""
    for owned in folder.glob(f"{_PREFIX}*/{_OWNED}"):
        with suppress(OSError):
            descriptor = os.open(owned, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owned.parent, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

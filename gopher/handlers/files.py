"""Files in `GOPHER_FILES`: those written by handlers, and `file:` sources.

Files written by Gopher are named `<job id>-<what>.<extension>`, while being written
`.<job id>-<what>.<extension>.<random>.tmp`. `cleanup` recognizes them by name only.
"""

import os
import re
import stat
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gopher.errors import Discard

_JOB_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = rf"{_JOB_ID}-[a-z0-9_]+\.(?:jpg|png|webp|gif|html|json)"
_OURS = re.compile(rf"{_NAME}|\.{_NAME}\.[a-z0-9_]+\.tmp")

#: Regular files only: no symbolic links at any step, and no blocking on pipes.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileRefused(Discard):
    """Raised when a `file:` source is not a readable file in `GOPHER_FILES`."""


def files_folder() -> Path:
    """Return the absolute path of `GOPHER_FILES`, which is created if missing."""
    from gopher.config.settings import Settings

    folder = Path(Settings.from_env().files).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_ours(name: str) -> bool:
    """Return whether a file name is that of a file written by one of Gopher's handlers."""
    return _OURS.fullmatch(name) is not None


def write_file(job_id: str, what: str, extension: str, content: bytes) -> Path:
    """Write `<job id>-<what>.<extension>` in `GOPHER_FILES` and return its path.

    Readers see the complete file or none: it is written under a temporary name and renamed. Another attempt of the
    same job replaces the file of the first one.
    """
    name = f"{job_id}-{what}.{extension}"
    if not is_ours(name):
        raise ValueError(f"{name!r} is not a name that cleanup would recognize")
    path = files_folder() / name
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{name}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        # mkstemp creates a private file; results are for everyone who may read the folder.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def read_source(url: str, max_bytes: int) -> bytes:
    """Return the content of a `file:` URL in `GOPHER_FILES`. Raises FileRefused.

    `file:cats/tom.jpg` is `GOPHER_FILES/cats/tom.jpg`; an absolute `file:///...` must be inside the folder.
    """
    folder = files_folder()
    try:
        descriptor = _open_below(folder, _steps(url, folder))
    except OSError as error:
        raise FileRefused(f"{url!r} can't be read in GOPHER_FILES: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileRefused(f"{url!r} is not a regular file")
    with open(descriptor, "rb") as file:
        if status.st_size > max_bytes:
            raise FileRefused(f"{url!r} has {status.st_size} bytes, more than the {max_bytes} allowed")
        return file.read(max_bytes)


def _steps(url: str, folder: Path) -> list[str]:
    """Return the path components from the folder to the file."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise FileRefused(f"{url!r} must be file:<path in GOPHER_FILES>, with ? and # written %3F and %23")
    path = unquote(parts.path)
    if path.startswith("/"):
        path = _relative(path, folder)
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if not steps or ".." in steps or "\0" in path:
        raise FileRefused(f"{url!r} is not inside GOPHER_FILES")
    return steps


def _relative(path: str, folder: Path) -> str:
    for root in (str(folder), str(folder.resolve())):
        if path.startswith(root.rstrip("/") + "/"):
            return path[len(root) :]
    raise FileRefused(f"{path!r} is not inside GOPHER_FILES ({folder})")


def _open_below(folder: Path, steps: list[str]) -> int:
    """Open step by step from the folder's descriptor, so that a link swapped in meanwhile can't escape the folder."""
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in steps[:-1]:
            inner = os.open(step, _READ | os.O_DIRECTORY, dir_fd=current)
            os.close(current)
            current = inner
        return os.open(steps[-1], _READ, dir_fd=current)
    finally:
        os.close(current)

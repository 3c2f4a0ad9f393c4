"""`file:` sources in `GOPHER_FILES`, and files that handlers of earlier versions have written there.

Those are named `<job id>-<what>.<extension>`, while being written `.<job id>-<what>.<extension>.<random>.tmp`.
`cleanup` recognizes them by name only. Now files are in the store (`gopher.files`), which may be a part of this folder.
"""

import errno
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gopher.errors import Discard
from gopher.files.names import UPLOADS
from gopher.jobs.job import Job

_JOB_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = rf"{_JOB_ID}-[a-z0-9_]+\.(?:jpg|png|webp|gif|avif|html|json)"
_OURS = re.compile(rf"{_NAME}|\.{_NAME}\.[a-z0-9_]+\.tmp")
#: The path of a file that a job has written, now and in earlier versions.
_WRITTEN_BY = re.compile(rf"jobs/({_JOB_ID})/|\.?({_JOB_ID})-")

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


def attached(job: Job, content: bytes, name: str) -> dict[str, str]:
    """Store a file with a job, and return its name for the result, and its path if it is on this machine."""
    job.attach(content, name)
    path = job.stored_path(name)
    return {"file": name} if path is None else {"file": name, "path": str(path)}


def is_ours(name: str) -> bool:
    """Return whether a file name is that of a file written by a handler of an earlier version."""
    return _OURS.fullmatch(name) is not None


def read_source(url: str, max_bytes: int, owner: str = "") -> bytes:
    """Return the content of a `file:` URL in `GOPHER_FILES`. Raises FileRefused.

    `file:cats/tom.jpg` is `GOPHER_FILES/cats/tom.jpg`; an absolute `file:///...` must be inside the folder. For an
    owner's job, files that jobs of others have written do not exist.
    """
    folder = files_folder()
    steps = _steps(url, folder)
    try:
        _check_owner("/".join(steps), owner)
        descriptor = _open_below(folder, steps)
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


def _check_owner(path: str, owner: str) -> None:
    """Raise FileNotFoundError if a file is an upload, or was written by a job that is not the owner's, as far as its
    record tells."""
    if not owner:
        return
    # Lower case: on some file systems both spellings are the same file.
    path = path.lower()
    if path.startswith(f"{UPLOADS}/"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    written_by = _WRITTEN_BY.match(path) or _WRITTEN_BY.match(path.rpartition("/")[2])
    if written_by is None:
        return
    from gopher.config.settings import Settings
    from gopher.queue.store import Server
    from gopher.reads.jobs import Inspector

    server = Server(Settings.from_env(), connections=1)
    try:
        place = Inspector(server).place(written_by[1] or written_by[2], lambda place: place.owner == owner)
    finally:
        server.close()
    if place is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


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

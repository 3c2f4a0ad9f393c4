"""A job's files in a worker: fetched to a folder of the attempt, which is removed with it."""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gopher.config.settings import Settings
from gopher.errors import Discard
from gopher.jobs.job import Job

from .large_payloads import PAYLOAD
from .names import check_file_name, job_key, shown_name
from .opening import store_for_job
from .store import FileMissing, FileTooLarge, Reading, Store
from .transfers import save_pieces

#: Maximum number of files that a job can store.
MAX_ATTACHED = 100


class AttachedTooLarge(Discard):
    """Raised by `job.attach` for a file of more than `GOPHER_FILE_MAX` bytes."""


class StoredJobFiles:
    """The files of a job in the store of the settings."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._settings = Settings.from_env()
        self._open = ExitStack()
        self.store: Store = self._open.enter_context(store_for_job(self._settings))
        self.paths: Mapping[str, Path] = UploadPaths(self.upload, job.uploads)
        self._folder: _Folder | None = None
        self._making = threading.Lock()
        self._attached: set[str] = set()

    def attach(self, content: bytes | str | os.PathLike[str], name: str) -> str:
        if not isinstance(content, bytes):
            name = name or os.path.basename(content)
        if self._job.payload_file and name in (PAYLOAD, self._job.payload_file):
            raise ValueError(f"{name} is the payload of the job: give the file another name")
        key = job_key(self._job.id, name)
        self._attached.add(name)
        if len(self._attached) > MAX_ATTACHED:
            raise Discard(f"a job can't store more than {MAX_ATTACHED} files")
        try:
            if isinstance(content, bytes):
                self.store.write(key, [content], limit=self._settings.file_max)
            else:
                with open(content, "rb") as file:
                    self.store.write(key, file, limit=self._settings.file_max)
        except FileTooLarge:
            raise AttachedTooLarge(f"{name} has more than {self._settings.file_max} bytes (GOPHER_FILE_MAX)") from None
        return name

    def of_parent(self, job_id: str, name: str) -> Path:
        if job_id not in self._job.parents:
            raise KeyError(job_id)
        path = self._place(f"job-{job_id}") / check_file_name(name)
        return path if path.exists() else self.fetch(job_key(job_id, name), path)

    def stored_path(self, name: str) -> Path | None:
        """Return where an attached file is on this machine, None if it is elsewhere."""
        return self.store.path(job_key(self._job.id, name))

    def upload(self, part: str) -> Path:
        """Return the path of a file that the job was submitted with. Raises KeyError."""
        ref = self._job.uploads[part]
        # A folder of its own: several may have the same name.
        path = self._place(f"part-{part}") / shown_name(ref.name)
        return path if path.exists() else self.fetch(ref.key, path)

    def payload(self) -> bytes:
        """Return the payload, which is a file of the job. Raises Discard if it is missing."""
        with self._reading(job_key(self._job.id, self._job.payload_file)) as reading:
            return b"".join(reading)

    def fetch(self, key: str, path: Path) -> Path:
        """Fetch a file of the store to a path."""
        with self._reading(key) as reading:
            # Another thread of the handler may fetch it, too.
            return save_pieces(reading, path.name, path)

    def _reading(self, key: str) -> Reading:
        try:
            return self.store.read(key)
        except FileMissing:
            raise Discard(f"the file {key} is not in the store {self.store.url}, or no longer") from None

    def _place(self, name: str) -> Path:
        with self._making:
            if self._folder is None:
                self._folder = _Folder()
        place = self._folder.path / name
        place.mkdir(exist_ok=True)
        return place

    def close(self) -> None:
        if self._folder is not None:
            self._folder.remove()
        self._open.close()


class UploadPaths(Mapping[str, Path]):
    """The files that a job was submitted with, each fetched when it is asked for."""

    def __init__(self, fetch: Callable[[str], Path], names: Collection[str]) -> None:
        self._fetch, self._names = fetch, names

    def __getitem__(self, name: str) -> Path:
        return self._fetch(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Folder:
    """A temporary folder. While its process lives it is locked; those that are not are removed by the next one."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir(), f"gopher-files-{os.getuid()}")
        parent.mkdir(mode=0o700, exist_ok=True)
        if parent.lstat().st_uid != os.getuid():
            raise PermissionError(f"{parent} belongs to another user")
        with _locked(parent, fcntl.LOCK_EX):
            self.path = Path(tempfile.mkdtemp(dir=parent))
            self._lock = ExitStack()
            self._lock.enter_context(_locked(self.path, fcntl.LOCK_EX))
            for each in parent.iterdir():
                with suppress(OSError), _locked(each, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(each, ignore_errors=True)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)

"""The files of a job that is replayed: fetched by a client when they are asked for, and stored in a folder here."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from gopher.config.settings import Settings
from gopher.errors import Discard
from gopher.files.job_files import MAX_ATTACHED, AttachedTooLarge, UploadPaths
from gopher.files.names import check_file_name, shown_name
from gopher.files.store import FileMissing
from gopher.interface import Gopher
from gopher.jobs.job import Job


class LocalFiles:
    """The files of a job. `attached` is where those go that its handler stores; it is created for the first one."""

    def __init__(self, client: Gopher, attached: Path) -> None:
        self._client = client
        self._attached = attached
        self._fetched: tempfile.TemporaryDirectory[str] | None = None
        #: The names of the files that the handler has stored.
        self.names: list[str] = []

    def close(self) -> None:
        """Remove what was fetched."""
        if self._fetched is not None:
            self._fetched.cleanup()
            self._fetched = None

    def open(self, job: Job) -> "_OfJob":
        return _OfJob(self, job)

    def fetch(self, place: str, name: str, save: Callable[[Path], object]) -> Path:
        """Return the path of a file in a temporary folder, saved there unless it is there already."""
        if self._fetched is None:
            self._fetched = tempfile.TemporaryDirectory(prefix="gopher-replay-")
        folder = Path(self._fetched.name, place)
        folder.mkdir(exist_ok=True)
        path = folder / name
        if not path.exists():
            self.asked(lambda: save(path))
        return path

    def asked(self, call: Callable[[], object]) -> object:
        """Call what reads a file. Raises Discard, as in a worker, if it is not kept any more."""
        try:
            return call()
        except FileMissing as error:
            raise Discard(str(error)) from None

    def attach(self, content: bytes | str | os.PathLike[str], name: str) -> str:
        """Store a file in the folder."""
        name = check_file_name(name)
        if name not in self.names:
            if len(self.names) == MAX_ATTACHED:
                raise Discard(f"a job can't store more than {MAX_ATTACHED} files")
            self.names.append(name)
        limit = Settings.from_env().file_max
        if (len(content) if isinstance(content, bytes) else os.stat(content).st_size) > limit:
            raise AttachedTooLarge(f"{name} has more than {limit} bytes (GOPHER_FILE_MAX)")
        self._attached.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            (self._attached / name).write_bytes(content)
        else:
            shutil.copyfile(content, self._attached / name)
        return name

    def attached_path(self, name: str) -> Path:
        return self._attached / check_file_name(name)


class _OfJob:
    """What the handler has of them."""

    def __init__(self, files: LocalFiles, job: Job) -> None:
        self._files, self._job, self._client = files, job, files._client
        self.paths: Mapping[str, Path] = UploadPaths(self.upload, job.uploads)

    def upload(self, part: str) -> Path:
        ref, job_id = self._job.uploads[part], self._job.id
        # Several may have the same name.
        return self._files.fetch(
            f"part-{part}", shown_name(ref.name), lambda path: self._client.files.save_upload(job_id, part, path)
        )

    def attach(self, content: bytes | str | os.PathLike[str], name: str) -> str:
        if not isinstance(content, bytes):
            name = name or os.path.basename(content)
        return self._files.attach(content, name)

    def of_parent(self, job_id: str, name: str) -> Path:
        if job_id not in self._job.parents:
            raise KeyError(job_id)
        return self._files.fetch(
            f"job-{job_id}", check_file_name(name), lambda path: self._client.files.save(job_id, name, path)
        )

    def stored_path(self, name: str) -> Path | None:
        return self._files.attached_path(name)

    def payload(self) -> bytes:
        found = self._files.asked(lambda: self._client.files.read(self._job.id, self._job.payload_file))
        assert isinstance(found, bytes)
        return found

    def close(self) -> None:
        """Nothing: the files stay until the replay ends."""

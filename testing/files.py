"""The files of a job that is run in process: those it is submitted with are files of the test."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gopher.files.job_files import StoredJobFiles
from gopher.files.names import content_type_of
from gopher.jobs.job import FileRef, Job


class GivenFiles(NamedTuple):
    """Files by the names that the handler knows."""

    uploads: dict[str, FileRef]
    paths: dict[str, Path]

    def open(self, job: Job) -> StoredJobFiles:
        return _JobFiles(job, self.paths)


def given_files(paths: Mapping[str, str | os.PathLike[str]]) -> GivenFiles:
    """Return files that a job is submitted with. Raises OSError."""
    found = {name: Path(path) for name, path in paths.items()}
    uploads = {
        name: FileRef("", path.name, path.stat().st_size, content_type_of(path.name)) for name, path in found.items()
    }
    return GivenFiles(uploads, found)


class _JobFiles(StoredJobFiles):
    def __init__(self, job: Job, paths: Mapping[str, Path]) -> None:
        super().__init__(job)
        self._given = paths

    def upload(self, part: str) -> Path:
        return self._given[part]

"""The part of the interface for files: what clients send, and what jobs have stored."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gopher.base.names import FILE_ID
from gopher.files.transfers import Content
from gopher.jobs.fields import JobId
from gopher.jobs.files import FileName, JobFile, JobFiles, PartName, Upload

from .operation import FILE, Operations, operation
from .submissions import BINARY, STORING

#: Bodies of an upload besides JSON, by media type: their schemas.
_UPLOADS = {
    "*/*": {"schema": BINARY},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": BINARY},
            "required": ["file"],
            "additionalProperties": False,
        },
    },
}


class FilesInterface(Operations):
    """Files in the store that `GOPHER_STORE` names."""

    part = "files"

    @operation(
        "POST", "/api/v1/files", "submit", {201: Upload},
        *STORING, sends=_UPLOADS, audited=False, is_about_no_jobs=True,
    )  # fmt: skip
    def upload(self, file: Content, name: str = "", content_type: str = "") -> Upload:
        """Upload a file for jobs.

        Name and content type default to what the file itself shows. It is deleted after `GOPHER_UPLOAD_TTL`, or with
        the last job that uses it.
        """

    @operation(
        "GET", "/api/v1/jobs/<job_id>/files", "read", JobFiles, "not_found", "store_unavailable",
        member="files", for_owner=True,
    )  # fmt: skip
    def all(self, job_id: JobId) -> list[JobFile]:
        """List the files that a job's handler has stored, by name."""

    @operation(
        "GET", "/api/v1/jobs/<job_id>/files/<name>", "read", {200: FILE},
        "not_found", "precondition_failed", "range_not_satisfiable", "store_unavailable", for_owner=True,
    )  # fmt: skip
    def read(self, job_id: JobId, name: FileName) -> bytes:
        """Download a file that a job's handler has stored."""

    def save(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file to a path, or into a folder under its own name; return the path. Replaces nothing half."""
        raise NotImplementedError

    @operation(
        "GET", "/api/v1/jobs/<job_id>/uploads/<name>", "read", {200: FILE},
        "not_found", "conflict", "precondition_failed", "range_not_satisfiable", "store_unavailable",
        for_owner=True,
    )  # fmt: skip
    def read_upload(self, job_id: JobId, name: PartName) -> bytes:
        """Download a file that a job was submitted with."""

    def save_upload(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that a job was submitted with to a path. Replaces nothing half."""
        raise NotImplementedError

    def sent(self, files: Mapping[str, Any]) -> dict[str, str]:
        """Return the ids of a submission's files by name; those that are not uploaded yet are uploaded now.

        Each is an `Upload`, its id, or what `upload` takes.
        """
        return {name: self._id_of(each) for name, each in files.items()}

    def _id_of(self, file: Any) -> str:
        if isinstance(file, Upload):
            return file.file_id
        return file if isinstance(file, str) and FILE_ID.fullmatch(file) else self.upload(file).file_id

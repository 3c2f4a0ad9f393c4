"""/api/v1/files: files that clients upload for jobs, and those that jobs have stored."""

from typing import Annotated, Self

import msgspec
from flask import Blueprint, Response

from gopher.errors import InvalidJob, OutcomeUnknown
from gopher.interface import FilesInterface
from gopher.jobs.fields import Checked, JobId
from gopher.jobs.files import FileName, JobFiles, PartName, Upload

from . import access, forms
from .answers import answer
from .base_path import own_url
from .context import current_request, gopher
from .downloads import HEADERS, STATUSES, download, download_upload, tell_store
from .forms import Part
from .serving import serves

blueprint = Blueprint("files", __name__)


class Uploading(Checked):
    """Options of an upload."""

    name: Annotated[
        str | None,
        msgspec.Meta(description="What the file is called, unless the body says so.", examples=["cat.jpg"]),
    ] = None


class Downloading(Checked):
    """Options of a download."""

    redirect: Annotated[
        bool,
        msgspec.Meta(description="false: never redirect to the store that has the file, but send it from here."),
    ] = True


@serves(blueprint, FilesInterface.upload, query=Uploading)
def upload(asked: Uploading) -> Response:
    """Upload a file for jobs: as the body, or in a form with one part.

    Its content type is recognized by its first bytes, or is that of the request or the part. It is deleted after
    `GOPHER_UPLOAD_TTL`, or with the last job that uses it.
    """
    part = _file_of_form() if forms.is_form(current_request()) else _body_as_file()
    name = asked.name or part.file_name
    return answer(_keep(part._replace(file_name=name), "/file"), 201)


@serves(blueprint, FilesInterface.all)
def list_of_job(job_id: JobId) -> Response:
    files = gopher().files.all(job_id)
    return answer(JobFiles([msgspec.structs.replace(each, url=own_url(each.url)) for each in files]))


@serves(blueprint, FilesInterface.read, query=Downloading, answers=STATUSES, headers=HEADERS)
def read(job_id: JobId, name: FileName, asked: Downloading) -> Response:
    """Download a file that a job's handler has stored.

    Supports ranges and conditions. Pictures are shown in place by browsers, everything else is saved. 302: the file is
    at the URL in Location for some minutes, in the store that has it.
    """
    return download(job_id, name, redirects=asked.redirect)


@serves(blueprint, FilesInterface.read_upload, query=Downloading, answers=STATUSES, headers=HEADERS)
def read_upload(job_id: JobId, name: PartName, asked: Downloading) -> Response:
    """Download a file that a job was submitted with, by the name that its handler knows.

    Supports ranges and conditions, and redirects, as the files that a job has stored do.
    """
    return download_upload(job_id, name, redirects=asked.redirect)


class UploadsOfForm:
    """Stores the files in the form of the current request; deletes them again unless `are_used` is set."""

    def __init__(self) -> None:
        self.are_used = False
        self._owner = access.submitter().owner
        self._made: dict[str, Upload] = {}

    @property
    def ids(self) -> list[tuple[str, str]]:
        """The name and the id of each."""
        return [(name, upload.file_id) for name, upload in self._made.items()]

    def __enter__(self) -> Self:
        try:
            for name, part in forms.files_in_form().items():
                self._made[name] = _keep(part, f"/{name}")
        except BaseException:
            self._forget()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A job whose outcome is unknown may use them.
        if not self.are_used and not (kind is not None and issubclass(kind, OutcomeUnknown)):
            self._forget()

    def _forget(self) -> None:
        if self._made:
            gopher().files.forget(self._owner, self._made.values())


def _keep(part: Part, field: str) -> Upload:
    """Store a file that the current caller has sent."""
    owner = access.submitter().owner
    tell_store()
    return gopher().files.keep(owner, part.content, part.size, part.file_name, part.content_type, field)


def _file_of_form() -> Part:
    form = forms.read_form()
    if form.job is not None:
        raise InvalidJob("belongs to a submission: send the form to /api/v1/jobs", f"/{forms.JOB}")
    if len(form.files) != 1:
        raise InvalidJob(f"the form has {len(form.files)} files: send one, as curl does with -F file=@cat.jpg", "/file")
    return next(iter(form.files.values()))


def _body_as_file() -> Part:
    asked = current_request()
    stream, length = forms.whole_body(asked)
    named = forms.named_in(asked.headers.get("Content-Disposition", ""))
    return Part("file", named, asked.headers.get("Content-Type", ""), stream, length)

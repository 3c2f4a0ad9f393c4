"""Multipart forms: a job and files for it, or a single file. Werkzeug's decoder reads them.

The body is on disk if it is long (spool.py), and so is each file: a form takes the same memory whatever its size.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple, cast

from flask import Request, g
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from gopher.base.names import PART_NAME
from gopher.compat import current
from gopher.config.settings import Settings
from gopher.errors import InvalidJob
from gopher.jobs.submission import MAX_FILES

from .bodies import LONGEST_BODY, PIECE
from .capacity import longest_job_part, longest_upload
from .context import context, current_request
from .spool import IN_MEMORY

FORM = "multipart/form-data"
#: The part of a form that is the job.
JOB = "job"
#: Calls that accept files: one of any content type, or only forms.
UPLOAD, _SUBMIT = "files.upload", "jobs.submit"
_HOW = "send them as curl does, with -F file=@cat.jpg"


class Part(NamedTuple):
    """A file of a form, or a body that is a file."""

    name: str
    #: What the client calls the file; "" if none is given.
    file_name: str
    content_type: str
    content: BinaryIO
    size: int
    digest: str = ""


class Form(NamedTuple):
    """The parts of a form: the job's JSON, None without one, and the files by name."""

    job: bytes | None
    files: dict[str, Part]

    @property
    def digest(self) -> bytes:
        """What identifies the content, whatever separates the parts: the same for a repeat of a request."""
        files = (f"{name} {part.file_name} {part.content_type} {part.digest}" for name, part in self.files.items())
        return "\n".join(["", *sorted(files)]).encode() if self.files else b""


def is_form(asked: Request) -> bool:
    """Return whether a request's body is a form that its call accepts."""
    return asked.mimetype == FORM and asked.endpoint in (UPLOAD, _SUBMIT)


def accepts(asked: Request, settings: Settings) -> bool:
    """Return whether a request may send files, and note how long its body may be."""
    if asked.endpoint != UPLOAD and not is_form(asked):
        return False
    setattr(current(g), LONGEST_BODY, longest_upload(settings))
    return True


def job_in_form() -> bytes:
    """Return the job in the form of the current request. Raises InvalidJob if it has none."""
    job = read_form().job
    if job is None:
        raise InvalidJob(
            f"is missing: send the job as JSON in a part of this name, as curl does with -F '{JOB}={{...}}'", f"/{JOB}"
        )
    return job


def check_files(named: Mapping[str, str]) -> None:
    """Raise InvalidJob if a submission names uploads as well that have the names of files in its form, or too many."""
    sent = files_in_form()
    for name in sent:
        if name in named:
            raise InvalidJob("is also a part of the form: leave one of them out", f"/files/{name}")
    if len(named) + len(sent) > MAX_FILES:
        raise InvalidJob(f"has {len(named) + len(sent)} files: the maximum is {MAX_FILES}", "/files")


def check_no_files() -> None:
    """Raise InvalidJob if the form of a schedule has files, which belong to one job."""
    for name in files_in_form():
        raise InvalidJob("can't be given together with recurring", f"/{name}")


def digest_of_files() -> bytes:
    """Return what identifies the files in the form of the current request, b"" without any."""
    return current(g).form.digest if "form" in current(g) else b""


def files_in_form() -> dict[str, Part]:
    """Return the files in the form of the current request, by name; none if it is no form."""
    return current(g).form.files if "form" in current(g) else {}


def whole_body(asked: Request) -> tuple[BinaryIO, int]:
    """Return the body of a request that may send files, and its length. Raises RequestEntityTooLarge."""
    settings = context().settings
    length = asked.content_length or 0
    if length > longest_upload(settings):
        raise too_large(settings)
    return asked.environ["wsgi.input"], length


def named_in(disposition: str) -> str:
    """Return the file name in a Content-Disposition, "" without one."""
    return parse_options_header(disposition)[1].get("filename", "")


def too_large(settings: Settings) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"the files are larger than {settings.file_max} bytes (GOPHER_FILE_MAX)")


def read_form() -> Form:
    """Return the form of the current request, parsed once. Raises InvalidJob, RequestEntityTooLarge."""
    about = current(g)
    if "form" not in about:
        asked = current_request()
        boundary = asked.mimetype_params.get("boundary", "")
        if not boundary or not boundary.isascii() or len(boundary) > 200:
            raise InvalidJob(f"the form's Content-Type has no valid boundary: {_HOW}")
        about.form = _parsed(whole_body(asked)[0], boundary.encode(), context().settings)
    form: Form = about.form
    return form


def _parsed(stream: BinaryIO, boundary: bytes, settings: Settings) -> Form:
    job: bytes | None = None
    files: dict[str, Part] = {}
    left = settings.file_max
    for part in _parts(stream, boundary):
        if part.name == JOB and job is None:
            job = _text(part, longest_job_part(settings))
            continue
        _check(part, files, has_job=job is not None)
        left -= part.size
        if left < 0:
            raise too_large(settings)
        files[part.name] = part
    return Form(job, files)


def _text(part: Part, most: int) -> bytes:
    if part.size > most:
        raise RequestEntityTooLarge(f"the part {JOB!r} is larger than {most} bytes (SERVER_MAX_BODY)")
    return part.content.read()


def _check(part: Part, files: dict[str, Part], *, has_job: bool) -> None:
    if part.name in files or (part.name == JOB and has_job):
        raise InvalidJob("has two parts of this name: give each part a name of its own", f"/{part.name:.80}")
    if not PART_NAME.fullmatch(part.name):
        raise InvalidJob(
            f"has a part with the name {part.name!r:.80}: use at most 64 letters, digits and .-_, "
            "the first of which is a letter or _",
            "/files",
        )
    if not part.file_name:
        raise InvalidJob(
            f"is text, not a file: send it as a file, as curl does with -F {part.name}=@PATH, or in the part {JOB!r}",
            f"/{part.name}",
        )
    if len(files) == MAX_FILES:
        raise InvalidJob(f"has more than {MAX_FILES} files: send fewer", "/files")


def _parts(stream: BinaryIO, boundary: bytes) -> Iterator[Part]:
    """Yield the parts of a form. Raises InvalidJob."""
    # What is decoded is taken out at once: only the head of a part could be longer.
    decoder = MultipartDecoder(boundary, max_form_memory_size=4 * PIECE)
    collected: _Collected | None = None
    while True:
        data = stream.read(PIECE)
        try:
            decoder.receive_data(data or None)
            event = decoder.next_event()
            while not isinstance(event, NeedData | Epilogue):
                if isinstance(event, Field | File):
                    collected = _Collected(event)
                elif isinstance(event, Data) and collected is not None:
                    collected.add(event.data)
                    if not event.more_data:
                        yield collected.part()
                event = decoder.next_event()
        except ValueError as error:
            raise InvalidJob(f"the form can't be read ({_reason(error, ended=not data)}): {_HOW}") from None
        except RequestEntityTooLarge:
            raise InvalidJob(f"the form can't be read (the head of a part is too long): {_HOW}") from None
        if isinstance(event, Epilogue):
            return


def _reason(error: ValueError, *, ended: bool) -> str:
    text = str(error)
    return "it ends before its last boundary" if ended and "cannot parse beyond" in text else text[:100]


class _Collected:
    """A part that is being received."""

    def __init__(self, head: Field | File) -> None:
        if not head.name:
            raise InvalidJob(f"a part of the form has no name: {_HOW}")
        self._name = head.name
        self._file_name = (head.filename or "file") if isinstance(head, File) else ""
        self._content_type = head.headers.get("Content-Type", "")
        spooled = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - lasts as long as the part
        self._content = cast("BinaryIO", spooled)
        self._size = 0
        # Only to tell a repeated request from another one.
        self._digest = hashlib.sha256() if "HTTP_IDEMPOTENCY_KEY" in current_request().environ else None

    def add(self, data: bytes) -> None:
        self._content.write(data)
        self._size += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def part(self) -> Part:
        self._content.seek(0)
        digest = self._digest.hexdigest() if self._digest is not None else ""
        return Part(self._name, self._file_name, self._content_type, self._content, self._size, digest)

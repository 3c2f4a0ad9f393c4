"""Names of stored files: their keys, which are made of ids and checked names, so that none leads elsewhere."""

import hashlib
import re
import uuid
from functools import cache
from typing import TYPE_CHECKING
from unicodedata import normalize
from urllib.parse import quote, unquote

from gopher.base.names import JOB_ID
from gopher.base.patterns import regex

if TYPE_CHECKING:
    from mimetypes import MimeTypes

#: Of a file: begins with a letter, digit or underscore, so it is never hidden, "." or "..".
FILE_NAME = regex(r"\w(?:[\w .,()@+=-]*[\w)@+=-])?")
EXPECTED_NAME = "letters, digits, spaces and . , ( ) @ + = - _, beginning with a letter, digit or _, at most 120 bytes"
_MAX_NAME = 120
#: Top-level folders of a store; in the last one are the marks of the installations that use it.
UPLOADS, JOBS, INSTALLATIONS = "uploads", "jobs", "installations"
_OTHER = "application/octet-stream"
_CONTENT_TYPE = regex(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")


def check_file_name(name: str) -> str:
    """Return the name of a file. Raises ValueError."""
    if not FILE_NAME.fullmatch(name) or len(name.encode()) > _MAX_NAME:
        raise ValueError(f"{name!r:.150} can't be the name of a file: use {EXPECTED_NAME}")
    return name


def shown_name(text: str) -> str:
    """Return a client's name of an upload as a file name: without folders and with _ for what is not allowed."""
    last = normalize("NFC", text).replace("\\", "/").rpartition("/")[2]
    cleaned = re.sub(r"[^\w .,()@+=-]", "_", last).strip(" .,")
    while len(cleaned.encode()) > _MAX_NAME:
        # The extension stays.
        stem, dot, extension = cleaned.rpartition(".")
        cleaned = f"{stem[:-1]}{dot}{extension}" if len(stem) > 1 and len(extension) < 20 else cleaned[:-1]
    return cleaned if FILE_NAME.fullmatch(cleaned) else f"_{cleaned}".rstrip(" .,") if cleaned else "file"


def content_type_of(name: str) -> str:
    """Return the content type of a name's extension. All files of jobs have this one."""
    return _types().guess_type(name)[0] or _OTHER


@cache
def _types() -> "MimeTypes":
    """Return Python's own table, which does not depend on the machine, with types that some versions lack."""
    # Jobs without files do not need it.
    from mimetypes import MimeTypes

    types = MimeTypes()
    for extension, content_type in ((".webp", "image/webp"), (".avif", "image/avif"), (".heic", "image/heic")):
        types.add_type(content_type, extension)
    return types


def is_content_type(text: str) -> bool:
    """Return whether a text is a media type in lower case without parameters."""
    return _CONTENT_TYPE.fullmatch(text) is not None


def new_file_id() -> str:
    return str(uuid.uuid4())


def is_file_id(text: str) -> bool:
    return JOB_ID.fullmatch(text) is not None


def upload_key(owner: str, file_id: str) -> str:
    """Return the key of an upload. Each owner has a folder, so that an id of others finds nothing."""
    if not is_file_id(file_id):
        raise ValueError(f"{file_id!r:.60} is not the id of a file")
    folder = hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else "trusted"
    return f"{UPLOADS}/{folder}/{file_id}"


def job_folder(job_id: str) -> str:
    """Return the prefix of a job's files."""
    if not JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r:.60} is not the id of a job")
    return f"{JOBS}/{job_id}/"


def job_key(job_id: str, name: str) -> str:
    """Return the key of a file that a job has stored."""
    return job_folder(job_id) + check_file_name(name)


def check_key(key: str) -> str:
    """Return a key. Raises ValueError, although keys are made here: stores rely on it."""
    for segment in key.split("/"):
        check_file_name(segment)
    return key


def disposition(name: str, kind: str = "attachment") -> str:
    """Return a Content-Disposition (RFC 6266) that names a file."""
    plain = re.sub(r"[^A-Za-z0-9 .,()@+=_-]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def name_in(content_disposition: str) -> str:
    """Return the name in a value of `disposition`, "" for another one."""
    _, found, encoded = content_disposition.partition("filename*=UTF-8''")
    return unquote(encoded) if found else ""

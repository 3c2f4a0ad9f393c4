"""Results that are too large for a job's record: files of the job, to which the record refers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gopher.jobs.job import Job

_NAME = "result.json"
#: What a reference begins with: no handler returns that by chance.
_BEGINNING = b'{"$file":"result.json",'


def attached_result(text: bytes, attach: Callable[[bytes, str], str]) -> bytes:
    """Store a result (JSON) as a file, and return the reference, the result in the record."""
    attach(text, _NAME)
    return b'%s"bytes":%d}' % (_BEGINNING, len(text))


def attached_name(result: bytes) -> str:
    """Return the name of the file that a result in a record refers to, "" if it is the result itself."""
    return _NAME if result.startswith(_BEGINNING) else ""


def read_attached(job: Job, results: dict[str, bytes]) -> None:
    """Put the results of a job's parents that are files into `job.parents`; `results` are those in the records."""
    for parent, result in results.items():
        if name := attached_name(result):
            job.parents[parent] = _decoded(job.parent_file(parent, name))


def _decoded(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())

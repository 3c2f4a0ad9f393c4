"""Files on this machine's disk that are sent to a store, or received from one."""

import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from gopher.errors import InvalidJob

#: What can be sent: a path, bytes, or a file opened for reading bytes.
Content = str | os.PathLike[str] | bytes | BinaryIO
#: Where files are called by the numbers of their descriptors: a shell's `<(...)` is one of them.
_DESCRIPTORS = frozenset({"/dev/fd", "/proc/self/fd"})
#: Bytes of a pipe beyond which they are kept on disk.
_IN_MEMORY = 1024 * 1024


def save_pieces(pieces: Iterable[bytes], name: str, to: str | os.PathLike[str]) -> Path:
    """Write a file completely or not at all: to a path, or into a folder under its own name."""
    path = Path(to)
    if path.is_dir():
        path = path / name
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            for piece in pieces:
                file.write(piece)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def size_of(content: BinaryIO) -> int:
    """Return how many bytes are left to read of a file."""
    start = content.tell()
    size = content.seek(0, os.SEEK_END) - start
    content.seek(start)
    return size


def name_of(file: Content) -> str:
    """Return what a file that is sent is called, "" if it has no name."""
    name = file if isinstance(file, str | os.PathLike) else getattr(file, "name", "")
    # That of a pipe or a temporary file is a number, or None.
    if not isinstance(name, str | bytes | os.PathLike):
        return ""
    folder, base = os.path.split(os.fsdecode(name))
    return "" if folder in _DESCRIPTORS else base


@contextmanager
def opened(file: Content) -> Iterator[BinaryIO]:
    """Open what is to be uploaded, as a file that can be read twice. Raises InvalidJob if it can't be read."""
    if isinstance(file, bytes | bytearray | memoryview):
        yield io.BytesIO(file)
    elif isinstance(file, str | os.PathLike):
        with open_file(file) as named, opened(named) as content:
            yield content
    elif not _is_binary(file):
        raise InvalidJob(
            f"can't be sent: give a path, bytes, or a file opened for reading bytes, not {type(file).__name__}", "/file"
        )
    elif _is_seekable(file):
        yield file
    else:
        # A pipe, or the body of a response: its size is known at its end.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
            shutil.copyfileobj(file, spooled)
            spooled.seek(0)
            yield cast("BinaryIO", spooled)


def _is_binary(file: Any) -> bool:
    return hasattr(file, "read") and not isinstance(file, io.TextIOBase)


def _is_seekable(file: BinaryIO) -> bool:
    # Not all that can be read have such a method.
    return bool(file.seekable()) if hasattr(file, "seekable") else hasattr(file, "seek") and hasattr(file, "tell")


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to upload. Raises InvalidJob if it can't be read."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise InvalidJob(f"can't be read: {os.fspath(path)}: {error.strerror}", "/file") from None

"""Writes an export to a file, so that it can be killed at any point and continued.

Lines go to `FILE.partial`, which gets the name FILE once it is complete. `FILE.progress` has the position up to which
they are complete; if the export is repeated, it continues there, as long as the server has the copied ids.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from gopher.errors import ConfigurationError
from gopher.queue.store import Server

from .exporter import Exporter, Position, SnapshotExpired, new_header
from .lines import Header, encode

#: Called with the number of jobs, and of ids that were read.
Tell = Callable[[int, int], None]
#: Payloads may be confidential.
_PRIVATE = 0o600


class Exported(msgspec.Struct):
    """The result of an export: number of jobs and queues, and of lines of each kind."""

    export: str
    jobs: int
    queues: int
    lines: dict[str, int]
    #: How many jobs were running: they are exported as waiting.
    running: int
    #: How many jobs an earlier call had exported, which was interrupted.
    continued_from: int = 0


class _Progress(msgspec.Struct):
    """What a later call needs to continue."""

    header: Header
    position: Position
    lines: dict[str, int]
    #: Number of bytes of complete lines, and of ids.
    size: int
    ids: int
    running: int = 0


_read_progress = msgspec.json.Decoder(_Progress).decode


def export_to(
    server: Server, stream: BinaryIO, queues: Sequence[str], without: Collection[str], tell: Tell
) -> Exported:
    """Write an export to a stream. Raises a ServerError, OSError."""
    header = new_header(server, queues, without)
    exporter = Exporter(server, header, Position(), Counter())
    ids = 0
    for page in exporter.pages():
        stream.writelines(encode(line) + b"\n" for line in page.lines)
        ids += page.ids
        tell(exporter.lines["job"], ids)
    stream.flush()
    return _exported(header, exporter, 0)


class ExportFile:
    """An export to a file."""

    def __init__(self, server: Server, path: Path, queues: Sequence[str], without: Collection[str]) -> None:
        self._server = server
        self._path = path
        self._partial, self._progress = path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.progress")
        self._queues, self._without = queues, without

    def write(self, tell: Tell) -> Exported:
        """Write the file, or continue one that was interrupted. Raises a ServerError, OSError."""
        fresh = new_header(self._server, self._queues, self._without)
        progress = self._begun(fresh)
        if progress is not None:
            with suppress(SnapshotExpired):
                return self._write(progress, tell)
        return self._write(_Progress(fresh, Position(), {}, 0, 0), tell)

    def _begun(self, fresh: Header) -> _Progress | None:
        """Return how far an earlier call has come with the same export; None if it has to start again."""
        try:
            progress = _read_progress(self._progress.read_bytes())
            size = self._partial.stat().st_size
        except (OSError, msgspec.MsgspecError):
            return None
        same = ("namespace", "instance", "queues", "without", "version")
        is_same = all(getattr(progress.header, name) == getattr(fresh, name) for name in same)
        return progress if is_same and size >= progress.size else None

    def _write(self, progress: _Progress, tell: Tell) -> Exported:
        before = progress.lines.get("job", 0)
        exporter = Exporter(self._server, progress.header, progress.position, Counter(progress.lines))
        exporter.running = progress.running
        with self._opened(progress.size) as stream:
            for page in exporter.pages():
                stream.writelines(encode(line) + b"\n" for line in page.lines)
                stream.flush()
                progress.position, progress.lines = page.position, dict(exporter.lines)
                progress.size, progress.ids, progress.running = stream.tell(), progress.ids + page.ids, exporter.running
                self._save(progress)
                tell(exporter.lines["job"], progress.ids)
            os.fsync(stream.fileno())
        self._partial.replace(self._path)
        self._progress.unlink(missing_ok=True)
        return _exported(progress.header, exporter, before)

    def _opened(self, size: int) -> BinaryIO:
        """Open the partial file behind its complete lines."""
        if self._path.is_dir():
            raise ConfigurationError(f"{self._path} is a folder: name a file")
        stream = os.fdopen(os.open(self._partial, os.O_RDWR | os.O_CREAT, _PRIVATE), "r+b")
        stream.truncate(size)
        stream.seek(size)
        return stream

    def _save(self, progress: _Progress) -> None:
        """Replace the file of the progress in one step."""
        new = self._progress.with_name(f"{self._progress.name}.new")
        new.write_bytes(msgspec.json.encode(progress))
        new.replace(self._progress)


def _exported(header: Header, exporter: Exporter, before: int) -> Exported:
    lines = dict(exporter.lines)
    return Exported(header.export, lines.get("job", 0), len(header.queues), lines, exporter.running, before)

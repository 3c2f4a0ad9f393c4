"""A body as it is received: in memory, and on disk once it is long."""

import io
import tempfile
from collections.abc import Mapping
from typing import Any

from .refusals import Refused

#: Bytes of a body that stay in memory.
IN_MEMORY = 2**20
#: Bytes that are collected before they are written, of a body that goes to disk.
_ROUND = 256 * 1024


class Spooled(io.BufferedReader):
    """A complete body on disk, in a file without a name: it is gone with the process, however that ends."""

    #: What the check of the head has found, None if there was none.
    before: Mapping[str, Any] | None = None


class Spool:
    """Collects a body. `received` has the bytes that are still in memory."""

    def __init__(self) -> None:
        self.received = bytearray()
        #: Bytes on disk.
        self.on_disk = 0
        self._file: io.FileIO | None = None

    @property
    def length(self) -> int:
        return self.on_disk + len(self.received)

    def set_aside(self, announced: int) -> None:
        """Write to disk what is too long for memory, if `announced` bytes are to come. Raises Refused."""
        if len(self.received) <= (IN_MEMORY if max(announced, self.length) <= IN_MEMORY else _ROUND):
            return
        try:
            if self._file is None:
                # Of a name, a process that is killed would leave the file behind.
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._write(self._file)
        except OSError as error:
            details = "there is no disk space to receive the request: try again later"
            raise Refused(503, details, f"can't write a body to disk: {error}") from error

    def reader(self) -> Spooled | None:
        """Return the complete body if it is on disk, None if it is in memory. Raises Refused."""
        if self._file is None:
            return None
        try:
            self._write(self._file)
        except OSError as error:
            raise Refused(503, "there is no disk space to receive the request: try again later", str(error)) from error
        file, self._file = self._file, None
        file.seek(0)
        return Spooled(file)

    def clear(self) -> None:
        """Drop what has been received."""
        self.received.clear()
        self.on_disk = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, file: io.FileIO) -> None:
        view = memoryview(self.received)
        written = 0
        with view:
            while written < len(view):
                written += file.write(view[written:])
        self.on_disk += written
        self.received.clear()

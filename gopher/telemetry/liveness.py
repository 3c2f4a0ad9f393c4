"""The health file of a worker or scheduler, for probes of containers, since these processes have no network port.

Its age shows whether the process hangs, its content whether its server responds. A worker that hangs should be
restarted; one whose server is unavailable should not: it continues by itself when the server is back.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from gopher.base.times import to_rfc3339
from gopher.errors import ConfigurationError, GopherError


class NotAlive(GopherError):
    """Raised if a process does not update its health file, or its server does not respond."""


class Beat(msgspec.Struct):
    """The content of the file. `heard_at` is the server's last response (Unix s), `every` the maximum time between
    two updates (s), `patience` how long the server may not respond (s)."""

    pid: int
    heard_at: float
    every: float
    patience: float


class HealthFile:
    """Writes the file. Without a path it does nothing."""

    def __init__(self, path: Path | None, every: float, patience: float) -> None:
        self._path = path
        self._every, self._patience = every, patience
        self._heard_at = time.time()

    def begin(self) -> None:
        """Write the file for the first time. Raises ConfigurationError if that fails."""
        try:
            self._write()
        except OSError as error:
            raise ConfigurationError(
                f"GOPHER_HEALTH_FILE={str(self._path)!r}: can't write it: {error.strerror}"
            ) from None

    def heard(self) -> None:
        """Record a response of the server."""
        self._heard_at = time.time()

    def beat(self) -> None:
        """Update the file if it is time to."""
        try:
            self._write()
        except OSError as error:
            # Not above: a probe, which only reads the file, starts every few seconds.
            from .loggers import get_logger

            log = get_logger("health")
            log.warning("the health file can't be written", path=str(self._path), error=error.strerror)

    def _write(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        new.write_bytes(msgspec.json.encode(Beat(os.getpid(), self._heard_at, self._every, self._patience)))
        # Atomically, so that no probe reads an incomplete file.
        new.replace(self._path)

    def remove(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def check(path: Path) -> Beat:
    """Check a health file. Raises NotAlive with the reason."""
    try:
        age = time.time() - path.stat().st_mtime
        beat = msgspec.json.decode(path.read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError) as error:
        raise NotAlive(f"{path} can't be read ({error}): no process is running with this health file") from None
    if age > 3 * beat.every:
        raise NotAlive(f"process {beat.pid} hangs: it updated {path} {age:.0f} s ago instead of every {beat.every:g} s")
    silent = time.time() - beat.heard_at
    if silent > beat.patience:
        since = to_rfc3339(beat.heard_at * 1000)
        raise NotAlive(f"process {beat.pid} is alive, but its server has not responded since {since}")
    return beat

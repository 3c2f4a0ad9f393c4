"""A file that a worker or a scheduler keeps fresh: for probes of containers, which can't ask it over the network.

Its age says whether the process turns round at all, its content whether the server still answers it. A worker that
hangs is better restarted; one whose server is away is not: it goes on by itself when that is back.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from gopher.base.times import to_rfc3339
from gopher.errors import ConfigurationError, GopherError

from .logs import get_logger

log = get_logger("health")


class NotAlive(GopherError):
    """Raised when a process does not keep its health file fresh, or hears nothing from its server."""


class Beat(msgspec.Struct):
    """What stands in the file. `heard_at` is when the server last answered (Unix s), `every` the longest time
    between two beats (s), `patience` how long the server may be silent (s)."""

    pid: int
    heard_at: float
    every: float
    patience: float


class HealthFile:
    """The writer's side. Without a path it does nothing."""

    def __init__(self, path: Path | None, every: float, patience: float) -> None:
        self._path = path
        self._every, self._patience = every, patience
        self._heard_at = time.time()

    def begin(self) -> None:
        """Write the file for the first time. Raises ConfigurationError when that can't be done."""
        try:
            self._write()
        except OSError as error:
            raise ConfigurationError(
                f"GOPHER_HEALTH_FILE={str(self._path)!r}: can't write it: {error.strerror}"
            ) from None

    def heard(self) -> None:
        """Note that the server has answered."""
        self._heard_at = time.time()

    def beat(self) -> None:
        """Say that the process lives."""
        try:
            self._write()
        except OSError as error:
            log.warning("the health file can't be written", path=str(self._path), error=error.strerror)

    def _write(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        new.write_bytes(msgspec.json.encode(Beat(os.getpid(), self._heard_at, self._every, self._patience)))
        # At once, so that no probe reads half of it.
        new.replace(self._path)

    def remove(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def check(path: Path) -> Beat:
    """Return the last beat of the process that keeps a file. Raises NotAlive, saying what is wrong."""
    try:
        age = time.time() - path.stat().st_mtime
        beat = msgspec.json.decode(path.read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError) as error:
        raise NotAlive(f"{path} can't be read ({error}): no worker or scheduler with this health file runs") from None
    if age > 3 * beat.every:
        raise NotAlive(f"process {beat.pid} hangs: it wrote {path} {age:.0f} s ago, and should every {beat.every:g} s")
    silent = time.time() - beat.heard_at
    if silent > beat.patience:
        since = to_rfc3339(beat.heard_at * 1000)
        raise NotAlive(f"process {beat.pid} lives, but its server has not answered since {since}")
    return beat

"""A file in which handlers themselves note what they do: one line an event, outside the queue and its server.

A line is written by one `write` to a file opened with O_APPEND, so that lines of many processes never mix, and a
process that is killed has written a line or has not. Nothing of Gopher is imported here.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

#: Names the file to the handlers.
VARIABLE = "FAULTS_LEDGER"


class Entry(NamedTuple):
    """One event of one attempt: `start` when its handler begins, `end` when it is about to return."""

    job_id: str
    attempt: int
    pid: int
    event: str
    #: Monotonic seconds of this machine: comparable between its processes.
    at: float
    #: What the submission was numbered by its sender; "-" for none.
    number: str = "-"


def note(job_id: str, attempt: int, event: str, number: object = "-") -> None:
    """Append an event to the ledger that the environment names."""
    entry = (job_id, attempt, os.getpid(), event, f"{time.monotonic():.4f}", number)
    write(os.environ[VARIABLE], " ".join(map(str, entry)))


def write(path: str | Path, line: str) -> None:
    """Append one line at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def read(path: str | Path) -> list[Entry]:
    """Return all events in the order in which they were written; none when nothing has been written yet."""
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        return []
    return parse(text)


def parse(text: str) -> list[Entry]:
    """Return the events of whole lines; what follows the last one is left out."""
    return [_entry(line) for line in text.split("\n")[:-1]]


def counts(entries: Iterable[Entry], event: str) -> Counter[str]:
    """Return how often each job has come by an event."""
    return Counter(entry.job_id for entry in entries if entry.event == event)


def _entry(line: str) -> Entry:
    job_id, attempt, pid, event, at, number = line.split(" ")
    return Entry(job_id, int(attempt), int(pid), event, float(at), number)

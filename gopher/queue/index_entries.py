"""The index of jobs whose ids do not tell their queues: those that were moved, and those whose ids were chosen."""

from typing import NamedTuple

from gopher.base.salvage import text


class Entry(NamedTuple):
    """An entry of the index. The digest is "" if only the job's place is noted."""

    queue: str
    digest: str = ""
    since: int = 0


def read_entry(stored: bytes | None) -> Entry | None:
    """Return an entry as it is stored, None if there is none or it is corrupt."""
    parts = text(stored).split(" ") if isinstance(stored, bytes) else []
    if len(parts) != 3 or not parts[2].isdigit():
        return None
    return Entry(parts[0], parts[1].removeprefix("-"), int(parts[2]))


def written_entry(entry: Entry) -> str:
    return f"{entry.queue} {entry.digest or '-'} {entry.since}"

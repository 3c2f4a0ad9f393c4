"""The figures of the last daily summary, since which the next one counts: a file in the store, for all workers."""

from typing import Any

import msgspec

from gopher.files.store import Store
from gopher.jobs.job import Job

_KEY = "reports/daily_summary.json"
_LIMIT = 16 * 2**20


class _Last(msgspec.Struct):
    job_id: str
    generated_at: str
    counts: dict[str, dict[str, int]]
    #: Those of the summary before it: another attempt of the same job counts since then, too.
    before: dict[str, Any] | None = None


def before(job: Job) -> dict[str, Any] | None:
    """Return the time and the counts of the last summary of another job; None if there is none that can be read."""
    store = _store()
    try:
        if store.stat(_KEY) is None:
            return None
        with store.read(_KEY) as reading:
            last = msgspec.json.decode(b"".join(reading), type=_Last)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    finally:
        store.close()
    if last.job_id == job.id:
        return last.before
    return {"generated_at": last.generated_at, "counts": last.counts}


def keep(job: Job, summary: dict[str, Any], previous: dict[str, Any] | None) -> None:
    """Store what the next summary needs of this one."""
    last = _Last(job.id, summary["generated_at"], summary["counts"], previous)
    store = _store()
    try:
        store.write(_KEY, [msgspec.json.encode(last)], limit=_LIMIT)
    finally:
        store.close()


def _store() -> Store:
    from gopher.config.settings import Settings
    from gopher.files.opening import open_store

    return open_store(Settings.from_env())

"""Why a job can't be found: its record has run out, was removed early to free memory, or the server was emptied."""

from contextlib import suppress

from gopher.base.times import to_rfc3339
from gopher.errors import JobNotFound, ServerError
from gopher.jobs.job import created_ms
from gopher.server.errors import explained

from .store import Server


class Losses:
    """What was lost before its time, as the server tells it. Read it only once something is missing."""

    def __init__(self, server: Server) -> None:
        self._emptied_at: bytes | None = None
        #: When records were last removed early from a queue, of jobs that had ended until when.
        self._removed: list[tuple[bytes | None, bytes | None]] = []
        # What can't be read now must not make another error of a plain answer.
        with suppress(ServerError), explained():
            names = server.queues()
            pipe = server.client.pipeline(transaction=False)
            pipe.hget(server.keys.meta, "emptied_at")
            for name in names:
                pipe.hmget(server.keys.for_queue(name).evicted, "at", "until")
            self._emptied_at, *self._removed = pipe.execute()

    def why(self, job_id: str) -> str:
        """Return what to add where a job is missing: "" unless one of its age may be gone before its time."""
        try:
            created = created_ms(job_id)
        except ValueError:
            return ""
        if self._emptied_at is not None and created < int(self._emptied_at):
            return f": the server was emptied after it was created, which was noticed at {_shown(self._emptied_at)}"
        went = [at for at, until in self._removed if at and until and created <= float(until)]
        if went:
            return f": it may have been removed early, to free memory on the server (last done at {_shown(max(went))})"
        return ""


def no_such_job(server: Server, job_id: str) -> JobNotFound:
    """Return the error for a job that is not there (any more)."""
    return JobNotFound(f"there is no job {job_id}, or its record has run out{Losses(server).why(job_id)}")


def _shown(milliseconds: bytes) -> str:
    return to_rfc3339(int(float(milliseconds)))

"""Explains why a job is missing: its record has expired, was evicted to free memory, or the server was emptied."""

from contextlib import suppress

from gopher.base.salvage import is_corrupt, order, replies, shown_time
from gopher.errors import JobNotFound, ServerError
from gopher.jobs.job import created_ms, has_time
from gopher.server.errors import explained

from .store import Server


class Losses:
    """Data that was lost early, as recorded in the server. Read only if a job is missing."""

    def __init__(self, server: Server) -> None:
        self._emptied_at: bytes | None = None
        #: When records of a queue were last evicted, and up to which end time of jobs.
        self._removed: list[tuple[bytes | None, bytes | None]] = []
        # A failing read must not replace the original error.
        from .search import queues_with

        with suppress(ServerError), explained():
            names = queues_with(server, server.queues(), lambda keys: keys.evicted)
            pipe = server.client.pipeline(transaction=False)
            pipe.hget(server.keys.meta, "emptied_at")
            for name in names:
                pipe.hmget(server.keys.for_queue(name).evicted, "at", "until")
            self._emptied_at, *removed = replies(pipe)
            self._removed = [each for each in removed if not is_corrupt(each)]

    def why(self, job_id: str) -> str:
        """Return an addition to the message about a missing job, "" unless it may have been lost early."""
        if not has_time(job_id):
            return ""
        try:
            created = created_ms(job_id)
        except ValueError:
            return ""
        if created < order(self._emptied_at):
            return f": the server was emptied after it was created (noticed at {shown_time(self._emptied_at)})"
        went = [at for at, until in self._removed if at and created <= order(until)]
        if went:
            last = shown_time(max(went, key=order))
            return f": it may have been evicted early to free memory on the server (last done at {last})"
        return ""


def no_such_job(server: Server, job_id: str) -> JobNotFound:
    """Return the error for a missing job."""
    return JobNotFound(f"there is no job {job_id}, or its record has expired{Losses(server).why(job_id)}")

"""Imports the lines of jobs in batches, each in one step of the server.

The server remembers the digest of each batch, so that a repeat is recognised without reading its lines. Batches depend
on the lines only, whatever becomes of each: so they are the same each time a file is read.
"""

import hashlib
import re
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from gopher.base.salvage import text
from gopher.errors import ConfigurationError, QueueUnavailable, TooManyQueues
from gopher.jobs.owners import TRUSTED
from gopher.queue.remote_parents import find_parent
from gopher.queue.store import Server
from gopher.queue.transfer_moves import ArrivingJob
from gopher.server.calls import Call, Command

from .arrivals import arriving
from .exporter import PATIENCE
from .import_file import BadLine, ReadLine
from .lines import InvalidLine, JobLine
from .parts import part_of_state

if TYPE_CHECKING:
    from .importer import Imported

#: Jobs, and bytes of their lines, per call: the server has to store them in one step.
BATCH_JOBS, BATCH_BYTES = 200, 1024 * 1024
#: Parents that are looked for together.
_LINKED = 100
#: Seconds between two attempts to find a parent.
_PAUSE = 0.2
#: Hexadecimal digits of a digest.
_DIGITS = 32
#: The beginning of a job's line as exports write it.
_JOB = re.compile(rb'\{"kind":"job","queue":"([a-z0-9_-]+)",')


def digest_of(*texts: bytes) -> str:
    """Return what the server remembers of lines."""
    digest = hashlib.sha256()
    for each in texts:
        digest.update(each.strip() + b"\n")
    return digest.hexdigest()[:_DIGITS]


def queue_in(line: bytes) -> str:
    """Return the queue of a job's line, "" for another line, or one that has to be decoded to know."""
    found = _JOB.match(line)
    return text(found[1]) if found else ""


class ImportedMarks:
    """What the server remembers of imports, and how an import calls it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def has(self, queue: str, digest: str) -> bool:
        """Return whether a batch, or a line, was imported into a queue."""
        key = self._server.keys.for_queue(queue).imported
        return self.run(Command(key, ("ZSCORE", key, digest))) is not None

    def store(self, queue: str, digest: str, jobs: list[ArrivingJob]) -> list[tuple[int, str]] | None:
        """Store jobs; return those that were not stored, None for a repeat (see `TransferMoves.store_jobs`)."""
        self.register(queue)
        stored: list[tuple[int, str]] | None = self.run(self._server.queue(queue).store_jobs(digest, jobs))
        return stored

    def register(self, queue: str) -> None:
        """Register a queue. Raises ConfigurationError if it is not allowed, or one too many."""
        try:
            self._server.register_queues(queue)
        except TooManyQueues as error:
            raise ConfigurationError(f"the queue {error}") from None

    def keep_results(self, queue: str, results: dict[str, tuple[str, int]]) -> None:
        """Keep results of jobs of other queues for those that will read them."""
        if not results:
            return
        self.register(queue)
        keys = {self._server.keys.for_queue(queue).parent_result(parent): kept for parent, kept in results.items()}
        commands = [
            Command(key, ("SET", key, result, "PXAT", str(until), "NX")) for key, (result, until) in keys.items()
        ]
        self._server.run_all(commands, patience=PATIENCE)

    def link_awaiting(self, queue: str) -> None:
        """Have jobs of a queue wait for parents in other queues, and for batches; without a parent they fail."""
        key = self._server.keys.for_queue(queue).awaited
        while parents := self.run(Command(key, ("SRANDMEMBER", key, _LINKED))):
            places = {text(each): self._queue_of(text(each)) for each in parents}
            self.run(self._server.queue(queue).link_awaiting(places))

    def _queue_of(self, parent: str) -> str:
        """Return the queue of a job or a batch, "" if there is none."""
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                return find_parent(self._server, parent, TRUSTED) or ""
            except QueueUnavailable:
                # A failover must not end an import.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(_PAUSE)

    def run(self, call: Call | Command) -> Any:
        return self._server.run_all([call], patience=PATIENCE)[0]


class JobImport:
    """Collects lines of jobs, and imports them."""

    def __init__(
        self,
        server: Server,
        without: Collection[str],
        result: "Imported",
        refuse: Callable[[BadLine], None],
    ) -> None:
        self._marks = ImportedMarks(server)
        self._without = without
        self._result = result
        #: Called with an invalid line: raises it, or counts it.
        self._refuse = refuse
        self._retention = round(server.settings.result_ttl * 1000)
        #: Whether all batches up to now were imported by an earlier call.
        self._repeats = True
        self._queue = ""
        self._lines: list[ReadLine] = []
        self._size = 0
        #: When the export was made.
        self.exported_at = 0
        self.queues: dict[str, None] = {}

    def add(self, line: ReadLine, queue: str) -> None:
        """Add a line, after importing those before it if they are enough."""
        is_full = len(self._lines) == BATCH_JOBS or self._size + len(line.text) > BATCH_BYTES
        if self._lines and (is_full or queue != self._queue):
            self.flush()
        self._queue = queue
        self._lines.append(line)
        self._size += len(line.text)

    def flush(self) -> None:
        """Import the lines. Raises BadLine, a ServerError."""
        lines, self._lines, self._size = self._lines, [], 0
        if not lines:
            return
        self.queues[self._queue] = None
        digest = digest_of(*(line.text for line in lines))
        if self._repeats and self._marks.has(self._queue, digest):
            self._result.skipped["repeated"] += len(lines)
        else:
            jobs = self._jobs_in(lines)
            if len(jobs) < len(lines):
                # A later call may import the others.
                digest = digest_of(digest.encode(), *(job.id.encode() for job in jobs))
            self._count(jobs, self._marks.store(self._queue, digest, jobs))
        self._result.last_line = lines[-1].number

    def _jobs_in(self, lines: list[ReadLine]) -> list[ArrivingJob]:
        """Return the valid jobs that are wanted."""
        jobs: list[ArrivingJob] = []
        for line in lines:
            try:
                content = line.content()
                if not isinstance(content, JobLine) or content.queue != self._queue:
                    raise InvalidLine("names several queues, or kinds")
                job = arriving(content, self.exported_at, self._retention)
            except InvalidLine as problem:
                self._refuse(BadLine(line.number, problem))
                continue
            if part_of_state(job.state) in self._without:
                self._result.skipped["omitted"] += 1
            else:
                # Before the job, which may start at once.
                self._marks.keep_results(self._queue, content.results)
                jobs.append(job)
        return jobs

    def _count(self, jobs: list[ArrivingJob], exceptions: list[tuple[int, str]] | None) -> None:
        if exceptions is None:
            self._result.skipped["repeated"] += len(jobs)
            return
        self._repeats = False
        for _, answer in exceptions:
            self._result.skipped[answer.lower()] += 1
        if stored := len(jobs) - len(exceptions):
            self._result.imported["job"] += stored

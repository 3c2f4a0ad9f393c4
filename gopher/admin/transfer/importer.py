"""Imports an export: jobs in batches (see `job_import`), everything else line by line.

The server remembers what it has imported, in the slot of each queue: so a repeat stores nothing twice, even if jobs
have ended and are gone.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import BinaryIO

import msgspec

from gopher.admin.audit import record
from gopher.errors import InvalidJob
from gopher.queue.store import Server

from .import_file import BadLine, ReadLine, check_end, incomplete, read_export
from .job_import import ImportedMarks, JobImport, digest_of, queue_in
from .lines import CorruptLine, End, ExportLine, Header, InvalidLine, JobLine, QueueLine, kind_of
from .settings_import import SettingsImport

#: Called with the number of jobs, and of bytes that were read.
Tell = Callable[[int, int], None]


class Imported(msgspec.Struct):
    """The result of an import: how many lines of each kind were imported, and how many not, by reason."""

    export: str = ""
    imported: Counter[str] = msgspec.field(default_factory=Counter)
    #: repeated: by an earlier call; exists; duplicate: another job has the unique key; expired; kept: something else of
    #: that name exists; omitted: with `without`; corrupt.
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    #: Number of invalid lines that were skipped.
    bad: int = 0
    #: All lines up to this one have been processed.
    last_line: int = 0
    #: Limits and schedules that exist there, and differ.
    kept: list[str] = []
    #: Queues that are paused, as they were where they come from.
    paused: list[str] = []


class Importer:
    """An import into an installation."""

    def __init__(
        self,
        server: Server,
        without: Collection[str] = (),
        *,
        skip_bad: Callable[[BadLine], None] | None = None,
        partial: bool = False,
    ) -> None:
        self._server = server
        self._without = without
        #: Called with each invalid line; None to stop at the first one.
        self._skip_bad = skip_bad
        self._partial = partial
        self.result = Imported()
        self._marks = ImportedMarks(server)
        self._jobs = JobImport(server, without, self.result, self._refuse)
        self._settings = SettingsImport(server, self.result)
        self._queues: list[str] = []
        #: Number of lines of each kind that were read.
        self._seen = Counter[str]()

    def run(self, file: BinaryIO, tell: Tell) -> Imported:
        """Import a file. Raises BadLine, IncompleteExport, a ServerError; a repeat continues."""
        complete = False
        for line in read_export(file):
            if queue := queue_in(line.text):
                self._seen["job"] += 1
                self._jobs.add(line, queue)
            elif not self._seen:
                self._begin(line, file)
            else:
                complete = self._take(line) or complete
            tell(self._seen["job"], line.end)
        self._jobs.flush()
        if not (complete or self._partial):
            raise incomplete("its last line is missing")
        self._finish()
        return self.result

    def _begin(self, line: ReadLine, file: BinaryIO) -> None:
        header = line.content()
        assert isinstance(header, Header)
        self._seen[kind_of(header)] += 1
        self.result.export = header.export
        self._jobs.exported_at = header.at
        self._queues = header.queues
        if not self._partial:
            check_end(file)

    def _take(self, line: ReadLine) -> bool:
        """Process a line; return whether it is the last one."""
        try:
            content = line.content()
            self._seen[kind_of(content)] += 1
            if isinstance(content, End):
                self._jobs.flush()
                self._check(content)
                return True
            self._import(content, line)
        except (InvalidLine, InvalidJob) as problem:
            self._refuse(BadLine(line.number, problem))
        return False

    def _refuse(self, bad: BadLine) -> None:
        if self._skip_bad is None:
            raise bad from None
        self._skip_bad(bad)
        self.result.bad += 1

    def _check(self, end: End) -> None:
        """Check that no line is missing. Raises IncompleteExport."""
        kinds = [kind for kind, count in end.lines.items() if count != self._seen[kind]]
        if kinds and not (self._partial or self.result.bad):
            told = ", ".join(f"{self._seen[kind]:,} of {end.lines[kind]:,} lines of kind {kind!r}" for kind in kinds)
            raise incomplete(f"it has {told}")

    def _import(self, content: ExportLine, line: ReadLine) -> None:
        match content:
            case JobLine():
                # Written by another program.
                self._jobs.add(line, content.queue)
            case CorruptLine():
                self.result.skipped["corrupt"] += 1
            case Header():
                raise InvalidLine("begins another export: import one file at a time")
            case QueueLine(paused=False):
                # It is registered with its first job.
                pass
            case _ if self._settings.part_of(content) in self._without:
                self.result.skipped["omitted"] += 1
            case _:
                self._jobs.flush()
                self._import_setting(content, line)

    def _import_setting(self, content: ExportLine, line: ReadLine) -> None:
        """Import what is not a job, unless an earlier call has."""
        queue = self._settings.queue_of(content) or (self._queues or ["default"])[0]
        digest = digest_of(line.text)
        if self._marks.has(queue, digest):
            self.result.skipped["repeated"] += 1
        else:
            self._marks.register(queue)
            self._settings.store(content)
            self._marks.store(queue, digest, [])
        self.result.last_line = line.number

    def _finish(self) -> None:
        for queue in self._jobs.queues:
            self._marks.link_awaiting(queue)
        if self.result.imported:
            record(self._server, "import", {"export": self.result.export}, count=sum(self.result.imported.values()))

"""NDJSON bodies of `POST /api/v1/jobs/batch`: any number of jobs, one per line, in constant memory.

Lines are independent: valid ones are stored, in chunks, and each invalid line is reported.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from operator import itemgetter
from tempfile import SpooledTemporaryFile
from typing import Any

import msgspec
from flask import Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from gopher.client import Stored
from gopher.errors import GopherError, InvalidJob, PayloadTooLarge, QueueBusy, RoleNeeded, TooManyQueues
from gopher.jobs.handlers import Registry
from gopher.jobs.job import NewJob
from gopher.jobs.lines import LONGEST_LINE, Line
from gopher.jobs.prepare import prepare
from gopher.jobs.submission import InvalidBatch, parse
from gopher.queue.batches import check_queues
from gopher.queue.idempotency import request_for, with_ids
from gopher.queue.moves import Request

from . import access
from .answers import answer
from .capacity import LONGEST_BULK
from .context import context, gopher
from .incoming import Stream
from .lines import MAX_LINES, TYPES, pieces
from .problems import EntryProblem

#: How many rejected lines a JSON response lists.
_NAMED = 1000
#: Bytes of a response that are buffered in memory, and sent at a time.
_IN_MEMORY, _CHUNK = 1024 * 1024, 64 * 1024


class BulkAccepted(msgspec.Struct):
    """The result of an NDJSON body. `duplicates` of the accepted jobs existed already, with the same unique key."""

    lines: int
    accepted: int
    duplicates: int
    rejected: int
    #: The first 1,000 rejected lines.
    errors: list[EntryProblem]


class Bulk:
    """Processes an NDJSON body; `describe` renders an accepted job."""

    def __init__(self, describe: Any, *, dry_run: bool) -> None:
        self._describe = describe
        self._dry_run = dry_run
        self.done = BulkAccepted(0, 0, 0, 0, [])
        self.wants_lines = request.accept_mimetypes.best_match(["application/json", *TYPES]) in TYPES
        self.answers = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when the answer is sent
        self._registry, self._submitter = access.job_types(), access.submitter()
        self._key = request.headers.get("Idempotency-Key")
        self._give_up_at = time.monotonic() + LONGEST_BULK
        if self._key is not None:
            request_for(self._key, b"", 0)

    def work(self) -> None:
        # Lines have their own limits. (None would mean SERVER_MAX_BODY.)
        request.max_content_length = MAX_LINES * (LONGEST_LINE + 1)
        stream = request.environ["wsgi.input"]
        if isinstance(stream, Stream):
            # By now the sender is authenticated.
            stream.start()
        for index, piece in enumerate(pieces(request.stream)):
            if time.monotonic() > self._give_up_at:
                raise InvalidJob(f"took longer than {LONGEST_BULK:g} s: send the rest with another request", "/lines")
            self._take(index, piece)
        if not self.done.lines:
            raise InvalidJob("contains no jobs: send one per line", "/lines")
        if not self.done.accepted:
            first = self.done.errors[0]
            codes = {error.code for error in self.done.errors}
            kinds = (kind for kind in (RoleNeeded, TooManyQueues) if codes == {kind.code})
            raise next(kinds, InvalidJob)(
                f"none of the {self.done.lines} lines can be accepted; the first is {first.line}: {first.details}",
                f"/lines/{first.line}{first.field or ''}",
            )

    def _take(self, index: int, piece: Sequence[Line]) -> None:
        jobs: list[NewJob] = []
        lines: list[Line] = []
        bad: list[tuple[int, EntryProblem]] = []
        for line in piece:
            try:
                jobs.append(_prepared(line, self._registry))
                lines.append(line)
            except InvalidJob as error:
                problem = EntryProblem(line=line.number, field=error.field, code=error.code, details=error.details)
                bad.append((line.number, problem))
        lines, jobs = self._without_refused(lines, jobs, bad)
        stored = self._store(index, piece, jobs)
        self.done.lines += len(piece)
        self.done.accepted += len(jobs)
        self.done.duplicates += sum(each.duplicate for each in stored)
        self.done.rejected += len(bad)
        self.done.errors += [problem for _, problem in bad[: _NAMED - len(self.done.errors)]]
        if self.wants_lines:
            rows: list[tuple[int, Any]] = list(bad)
            for line, job, each in zip(lines, jobs, stored, strict=True):
                rows.append((line.number, {"line": line.number, **msgspec.to_builtins(self._describe(job, each))}))
            for _, row in sorted(rows, key=lambda row: row[0]):
                self.answers.write(msgspec.json.encode(row) + b"\n")

    def _without_refused(
        self, lines: list[Line], jobs: list[NewJob], bad: list[tuple[int, EntryProblem]]
    ) -> tuple[list[Line], list[NewJob]]:
        """Return the lines and jobs without those whose queue exceeds the limit, which are rejected."""
        try:
            check_queues(gopher().server, jobs)
        except (TooManyQueues, InvalidBatch) as error:
            if self._key is not None:
                # A repeated request must get the same response, even if there is room by then.
                raise
            refused = error.errors if isinstance(error, InvalidBatch) else [(0, error)]
        else:
            return lines, jobs
        for at, each in refused:
            number = lines[at].number
            bad.append((number, EntryProblem(line=number, field=each.field, code=each.code, details=each.details)))
        bad.sort(key=itemgetter(0))
        places = {at for at, _ in refused}
        kept = [at for at in range(len(jobs)) if at not in places]
        return [lines[at] for at in kept], [jobs[at] for at in kept]

    def _store(self, index: int, piece: Sequence[Line], jobs: list[NewJob]) -> list[Stored]:
        if self._dry_run:
            return [Stored(job.id) for job in jobs]
        made = self._request(index, piece)
        if made is not None:
            jobs[:] = with_ids(jobs, made, int(made.answer))
        return gopher().store(jobs, request=made, submitter=self._submitter)

    def _request(self, index: int, piece: Sequence[Line]) -> Request | None:
        """Return the idempotency record of a chunk of the body, None without a key."""
        if self._key is None:
            return None
        body = b"".join(line.text or b"\n" for line in piece)
        made = request_for(self._key, body, time.time_ns() // 1_000_000)
        caller = g.get("key_name", "")
        return made._replace(key=hashlib.sha256(f"{caller}\n{self._key}\nlines {index}".encode()).hexdigest())


def submit_lines(describe: Any, *, dry_run: bool) -> Response:
    """Process an NDJSON body."""
    with context().permit_for_bulk() as permitted:
        if not permitted:
            raise QueueBusy("this process already reads the maximum number of NDJSON bodies: try again in a moment")
        bulk = Bulk(describe, dry_run=dry_run)
        try:
            bulk.work()
        except (GopherError, HTTPException) as error:
            bulk.answers.close()
            return _cut_short(error, bulk.done)
    status = 200 if dry_run or bulk.done.rejected else 201
    if not bulk.wants_lines:
        bulk.answers.close()
        return answer(bulk.done, status)
    return Response(_sent(bulk.answers), status, mimetype=TYPES[0])


def _prepared(line: Line, registry: Registry) -> NewJob:
    if line.text is None:
        raise PayloadTooLarge(f"is longer than {LONGEST_LINE} bytes", "")
    submission = parse(line.text)
    if submission.after:
        raise InvalidJob("is not supported in NDJSON bodies, whose lines are independent: send a JSON batch", "/after")
    return prepare(submission, registry, names=False)


def _cut_short(error: Exception, done: BulkAccepted) -> Response:
    """Return the error response with the progress so far: accepted jobs are stored."""
    failed = current_app.make_response(current_app.handle_user_exception(error))
    told = {**msgspec.json.decode(failed.get_data()), **msgspec.to_builtins(done)}
    failed.set_data(msgspec.json.encode(told))
    return failed


def _sent(answers: Any) -> Iterator[bytes]:
    with answers:
        answers.seek(0)
        while chunk := answers.read(_CHUNK):
            yield chunk

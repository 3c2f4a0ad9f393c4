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
from gopher.errors import (
    DuplicateJob,
    GopherError,
    InvalidJob,
    JobIdTaken,
    NoWorker,
    PayloadTooLarge,
    QueueBusy,
    QueueLimit,
    RoleNeeded,
    TooManyQueues,
    UnknownQueue,
)
from gopher.jobs.job import NewJob
from gopher.jobs.lines import LONGEST_LINE, Line
from gopher.jobs.prepare import prepare
from gopher.jobs.registry import Registry
from gopher.jobs.submission import InvalidBatch, parse
from gopher.queue.arguments import Request
from gopher.queue.batch_members import batch_refusal
from gopher.queue.batches import check_queues, expired
from gopher.queue.bounds import bounds_of, queue_limit
from gopher.queue.chosen_ids import id_taken
from gopher.queue.idempotency import request_for, with_ids
from gopher.queue.taken import duplicate_job
from gopher.reads.served import unserved

from . import access, scopes
from .answers import answer
from .bodies import Stream
from .capacity import LONGEST_BULK
from .context import context, gopher
from .lines import MAX_LINES, TYPES, pieces
from .problems import EntryProblem

#: The indexes and errors of jobs that are refused.
Refused = Sequence[tuple[int, InvalidJob]]
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
            kinds = (RoleNeeded, NoWorker, JobIdTaken, TooManyQueues, UnknownQueue, QueueLimit, DuplicateJob)
            raise next((kind for kind in kinds if codes == {kind.code}), InvalidJob)(
                f"none of the {self.done.lines} lines was accepted; line {first.line}: {first.details}",
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
                _reject(bad, line, error)
        for refused in (self._too_many_queues, self._expired, self._without_batches):
            lines, jobs = _without(refused(jobs), lines, jobs, bad)
        made = self._request(index, piece)
        lines, jobs = _without(self._without_workers(jobs, made), lines, jobs, bad)
        lines, jobs = _without(self._without_uploads(jobs, made), lines, jobs, bad)
        lines, jobs, stored = self._without_refused(lines, jobs, self._store(made, jobs), bad)
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

    def _too_many_queues(self, jobs: Sequence[NewJob]) -> Refused:
        """Return the jobs whose queue exceeds the limit."""
        try:
            check_queues(gopher().server, jobs)
        except (TooManyQueues, InvalidBatch) as error:
            if self._key is not None:
                # A repeated request must get the same response, even if there is room by then.
                raise
            return error.errors if isinstance(error, InvalidBatch) else [(0, error)]
        return []

    def _without_uploads(self, jobs: Sequence[NewJob], made: Request | None) -> Refused:
        """Return the jobs with uploads that do not exist."""
        if not any(job.files for job in jobs) or gopher().files.is_repeat(jobs, made):
            return []
        return gopher().files.missing_uploads(jobs, self._submitter)

    def _without_workers(self, jobs: Sequence[NewJob], made: Request | None) -> Refused:
        """Return the jobs that require a live worker and have none."""
        if not any(job.require_worker for job in jobs) or gopher().files.is_repeat(jobs, made):
            return []
        return unserved(gopher().workers, jobs)

    def _expired(self, jobs: Sequence[NewJob]) -> Refused:
        return expired(gopher().server, jobs)

    def _without_batches(self, jobs: Sequence[NewJob]) -> Refused:
        """Return the jobs whose batch does not exist, as far as that is not found when they are stored."""
        if not self._dry_run or not any(job.batch for job in jobs):
            return []
        return gopher().batches.members.missing(jobs, self._submitter)

    def _without_refused(
        self, lines: list[Line], jobs: list[NewJob], stored: list[Stored], bad: list[tuple[int, EntryProblem]]
    ) -> tuple[list[Line], list[NewJob], list[Stored]]:
        """Return the lines, jobs and results without those that were refused when they were to be stored."""
        places = [at for at, each in enumerate(stored) if not (each.refused or each.rejected)]
        if len(places) == len(stored):
            return lines, jobs, stored
        for line, job, each in zip(lines, jobs, stored, strict=True):
            if each.refused:
                _reject(bad, line, self._refusal(job, each))
            elif each.rejected:
                _reject(bad, line, duplicate_job(job, each.job_id))
        bad.sort(key=itemgetter(0))
        return [lines[at] for at in places], [jobs[at] for at in places], [stored[at] for at in places]

    def _refusal(self, job: NewJob, each: Stored) -> InvalidJob:
        """Return the error for a job that was not stored."""
        if each.refused == "batch":
            return batch_refusal(job.batch, each.status)
        if each.refused == "job_id":
            return id_taken(job)
        return queue_limit(job, each.refused, bounds_of(context().settings, self._submitter.owner))

    def _store(self, made: Request | None, jobs: list[NewJob]) -> list[Stored]:
        if self._dry_run:
            return [Stored(job.id) for job in jobs]
        if made is not None:
            jobs[:] = with_ids(jobs, made, int(made.answer))
        jobs[:] = access.with_options_of_key(jobs)
        return gopher().store(jobs, request=made, submitter=self._submitter, partly=True)

    def _request(self, index: int, piece: Sequence[Line]) -> Request | None:
        """Return the idempotency record of a chunk of the body, None without a key."""
        if self._key is None:
            return None
        body = b"".join(line.text or b"\n" for line in piece)
        made = request_for(self._key, body, time.time_ns() // 1_000_000)
        caller = g.get("key_name", "")
        return made._replace(key=hashlib.sha256(f"{caller}\n{self._key}\nlines {index}".encode()).hexdigest())


def _without(
    refused: Refused, lines: list[Line], jobs: list[NewJob], bad: list[tuple[int, EntryProblem]]
) -> tuple[list[Line], list[NewJob]]:
    """Return the lines and jobs without those that are refused, which are added to the bad ones."""
    if not refused:
        return lines, jobs
    for at, each in refused:
        _reject(bad, lines[at], each)
    bad.sort(key=itemgetter(0))
    places = {at for at, _ in refused}
    kept = [at for at in range(len(jobs)) if at not in places]
    return [lines[at] for at in kept], [jobs[at] for at in kept]


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


def _reject(bad: list[tuple[int, EntryProblem]], line: Line, error: InvalidJob) -> None:
    problem = EntryProblem(line=line.number, field=error.field, code=error.code, details=error.details)
    bad.append((line.number, problem))


def _prepared(line: Line, registry: Registry) -> NewJob:
    if line.text is None:
        raise PayloadTooLarge(f"is longer than {LONGEST_LINE} bytes", "")
    submission = parse(line.text)
    if submission.after:
        raise InvalidJob("is not supported in NDJSON bodies, whose lines are independent: send a JSON batch", "/after")
    job = prepare(submission, registry, names=False, payload_max=context().settings.payload_max)
    scopes.check_jobs([job])
    return job


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

"""`submit-many`: submits jobs from a file, one per line."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from uuid import uuid4

import click
import msgspec

from gopher.errors import DuplicateJob, GopherError, InvalidJob
from gopher.interface import Gopher
from gopher.jobs.lines import LONGEST_LINE, Line
from gopher.jobs.submission import InvalidBatch, parse
from gopher.queue.idempotency import IdempotencyMismatch

from .common import checking_client, common
from .lines import Batch, batches
from .output import Output
from .progress import counting

#: Maximum number of invalid lines reported when the command stops at a batch.
_NAMED = 10


class Report(msgspec.Struct):
    """The result for a file. `repeated` of the jobs were stored by an earlier run with the same key."""

    key: str
    #: All lines up to this one have been processed.
    last_line: int = 0
    submitted: int = 0
    repeated: int = 0
    #: How many were duplicates of jobs with the same unique key.
    duplicates: int = 0
    bad: int = 0


@click.command("submit-many")
@click.argument("file", type=click.File("rb"))
@click.option("--skip-bad", is_flag=True, help="Report and skip invalid lines; the exit code is still 1.")
@click.option(
    "--key",
    metavar="KEY",
    help="Idempotency key: repeating a file with its key within 24 hours stores nothing twice.  [default: a new key]",
)
@common
def submit_many(out: Output, file: BinaryIO, skip_bad: bool, key: str | None) -> int:
    """Submit the jobs in FILE (- for stdin): one JSON object per line, in the format of `POST /api/v1/jobs`.

    Lines are stored in batches of 1,000, each atomically. The command stops at the first batch with an invalid line
    and reports the line number and field. Fix the line and repeat the command with the printed --key: jobs that are
    already stored are not stored again. With --skip-bad, invalid lines are skipped instead.

    \b
    gopherctl submit-many jobs.jsonl
    generate | gopherctl submit-many - --skip-bad 2> bad-lines.txt
    """
    report = Report(key or str(uuid4()))
    with checking_client() as gopher, counting(file, "jobs") as count:
        stream = Stream(gopher, report, skip_bad, out)
        with _resumable(report, file, out):
            for batch in batches(file):
                stream.send(batch)
                count(report.submitted, batch.end)
    _tell(out, report)
    return 1 if report.bad else 0


class Stream:
    """Sends batches and counts the results."""

    def __init__(self, gopher: Gopher, report: Report, skip_bad: bool, out: Output) -> None:
        self._gopher = gopher
        self._report = report
        self._skip_bad = skip_bad
        self._out = out

    def send(self, batch: Batch) -> None:
        """Store a batch. Raises BadLines, unless invalid lines are skipped."""
        good, bad = _sorted_out(batch.lines)
        if not bad or self._skip_bad:
            bad += self._store(good, batch)
        if bad and not self._skip_bad:
            raise BadLines(bad)
        for number, error in sorted(bad, key=lambda each: each[0]):
            self._out.note(_named(number, error))
        self._report.bad += len(bad)
        self._report.last_line = batch.last

    def _store(self, lines: list[Line], batch: Batch) -> "list[tuple[int, InvalidJob]]":
        """Store lines, except invalid ones if those are skipped; return the invalid ones."""
        bad: list[tuple[int, InvalidJob]] = []
        # Derived from what a repeated run has again: batches are the same each time.
        key = f"{self._report.key}:{batch.last}"
        while lines:
            try:
                stored = self._gopher.submit_batch([line.text or b"" for line in lines], idempotency_key=key)
            except IdempotencyMismatch:
                first = batch.lines[0].number
                raise ChangedLines(
                    f"lines {first:,} to {batch.last:,} differ from those stored before with the key "
                    f"{self._report.key}: use the original file, or another --key"
                ) from None
            except InvalidBatch as error:
                if not all(each.is_permanent or isinstance(each, DuplicateJob) for _, each in error.errors):
                    # Such lines are not invalid: they are sent again when the file is continued.
                    raise
                found = dict(error.errors)
                bad += [(lines[index].number, each) for index, each in error.errors]
                if not self._skip_bad:
                    return bad
                lines = [line for index, line in enumerate(lines) if index not in found]
            else:
                self._report.submitted += len(stored)
                self._report.repeated += sum(each.replayed for each in stored)
                self._report.duplicates += sum(each.duplicate for each in stored)
                break
        return bad


class ChangedLines(GopherError):
    """Raised when a file differs from the one sent before with the same key."""


class BadLines(GopherError):
    """Raised at the first batch with invalid lines."""

    def __init__(self, bad: list[tuple[int, InvalidJob]]) -> None:
        named = [_named(number, error) for number, error in bad[:_NAMED]]
        if len(bad) > _NAMED:
            named.append(f"and {len(bad) - _NAMED} more, up to line {bad[-1][0]:,}")
        super().__init__("\n  ".join(["invalid lines:", *named]))


def _named(number: int, error: InvalidJob) -> str:
    return f"line {number}: {error}"


def _sorted_out(lines: list[Line]) -> "tuple[list[Line], list[tuple[int, InvalidJob]]]":
    """Separate the lines that can be sent from those that a batch would misread."""
    good: list[Line] = []
    bad: list[tuple[int, InvalidJob]] = []
    for line in lines:
        if line.text is None:
            bad.append((line.number, InvalidJob(f"is longer than {LONGEST_LINE} bytes, the maximum")))
        elif b'"after"' in line.text and (error := _place_in_batch(line.text)):
            bad.append((line.number, error))
        else:
            good.append(line)
    return good, bad


def _place_in_batch(text: bytes) -> InvalidJob | None:
    """Return an error for a line that refers to another by its index: batches are not the file's."""
    try:
        after = parse(text).after
    except InvalidJob as error:
        return error
    listed = after if isinstance(after, list) else []
    places = [index for index, parent in enumerate(listed) if isinstance(parent, int)]
    return InvalidJob("is an index in a batch: use job ids", f"/after/{places[0]}") if places else None


@contextmanager
def _resumable(report: Report, file: BinaryIO, out: Output) -> Iterator[None]:
    """Print how to continue after an early end."""
    try:
        yield
    except (GopherError, OSError, KeyboardInterrupt):
        name = "-" if file is sys.stdin.buffer else file.name
        stored = f"lines 1 to {report.last_line:,} are stored" if report.last_line else "no lines were stored"
        out.data(report)
        out.note(f"{stored}; continue with `gopherctl submit-many {shlex.quote(name)} --key {report.key}`")
        raise


def _tell(out: Output, report: Report) -> None:
    if out.data(report):
        return
    extra = [(report.repeated, "were already stored"), (report.duplicates, "are duplicates by unique key")]
    told = ", ".join(f"{count:,} of them {words}" for count, words in extra if count)
    out.line(f"{report.submitted:,} jobs submitted{f' ({told})' if told else ''}")
    if report.bad:
        out.note(f"{report.bad:,} invalid line{'' if report.bad == 1 else 's'} skipped")

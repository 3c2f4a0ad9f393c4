"""`export` and `import`: move jobs to another server, or back them up."""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from gopher.admin.transfer.export_file import Exported, ExportFile, export_to
from gopher.admin.transfer.import_file import BadLine, is_regular
from gopher.admin.transfer.importer import Imported, Importer
from gopher.admin.transfer.parts import PARTS
from gopher.client import Client
from gopher.errors import GopherError
from gopher.reads.advice import resume_queue

from .common import common, server_client
from .output import Output
from .progress import counting

_STDIO = "-"
#: Bytes of the server's memory per byte of a file, as measured with short payloads.
_MEMORY_PER_BYTE = 1.5
#: Options of these have other names.
_OPTIONAL = "finished"
_WITHOUT = click.option(
    "--without",
    type=click.Choice([part for part in PARTS if part != _OPTIONAL]),
    multiple=True,
    help="Leave this out. May be repeated.",
)

#: Reasons for which a line is not imported -> what the command says.
_REASONS = {
    "repeated": "imported earlier from this export",
    "exists": "there already",
    "duplicate": "with the unique key of another job",
    "expired": "expired meanwhile",
    "kept": "that exist there and differ",
    "omitted": "omitted",
    "corrupt": "corrupt",
}


@click.command()
@click.argument("file", default=_STDIO, type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="QUEUE",
    help="Export this queue only, and no API keys or webhooks. May be repeated.",
)
@click.option("--finished", is_flag=True, help="Include finished jobs that are still kept, with their results.")
@_WITHOUT
@common
def export(out: Output, file: str, queues: Sequence[str], finished: bool, without: Sequence[str]) -> int:
    """Export jobs, dead letters, batches and all settings as NDJSON to FILE (default: stdout).

    Settings are schedules, limits, pauses, tenants, webhooks with their secrets, and API keys without theirs.

    Per queue, each job is exported once, also while others submit and run jobs. Running jobs are exported as waiting:
    to move a queue, pause it and let them end first. FILE gets its name once it is complete; if the command is
    interrupted, repeat it, and it continues. The server keeps what this needs for an hour.

    \b
    gopherctl export backup.ndjson
    gopherctl export | ssh host gopherctl import
    """
    parts = {*without, *([] if finished else [_OPTIONAL]), *(["keys", "webhooks"] if queues else [])}
    with server_client() as gopher:
        names = _queues(gopher, queues)
        with counting(_jobs_in(gopher, names, finished), "jobs") as count:
            if file == _STDIO:
                result = export_to(gopher.server, sys.stdout.buffer, names, parts, count)
            else:
                result = ExportFile(gopher.server, Path(file), names, parts).write(count)
    _tell_exported(out, file, result)
    return 0


@click.command("import")
@click.argument("file", default=_STDIO, type=click.File("rb"))
@_WITHOUT
@click.option("--skip-bad", is_flag=True, help="Report and skip invalid lines; the exit code is still 1.")
@click.option("--partial", is_flag=True, help="Import what is there of an export that was cut off.")
@common
def import_(out: Output, file: BinaryIO, without: Sequence[str], skip_bad: bool, partial: bool) -> int:
    """Import an export from FILE (default: stdin) into this server and namespace.

    The server may have other jobs, schedules and limits: they are kept, and waiting jobs come behind those that wait
    there already. Repeating an import of the same file stores nothing twice, for 30 days, even if jobs that it has
    brought have ended: so repeat it if it was interrupted. Queues that were paused are paused.

    \b
    gopherctl import backup.ndjson --redis-url redis://new:6379
    """
    with server_client() as gopher, counting(file, "jobs") as count:
        _tell_room(out, gopher, file)
        report = (lambda bad: out.note(str(bad))) if skip_bad else None
        importer = Importer(gopher.server, without, skip_bad=report, partial=partial)
        with _repeatable(importer.result, file, out):
            importer.run(file, count)
    _tell_imported(out, importer.result)
    return 1 if importer.result.bad else 0


def _tell_room(out: Output, gopher: Client, file: BinaryIO) -> None:
    """Tell if the server may not have enough memory for a file. Of a cluster, it has to be looked up node by node."""
    if gopher.server.pools.clustered or not is_regular(file):
        return
    memory = gopher.server.evictor.memory(gopher.server.keys.meta)
    need = os.fstat(file.fileno()).st_size * _MEMORY_PER_BYTE
    if memory is not None and 0 < memory.limit < memory.used + need:
        room = max(memory.limit - memory.used, 0)
        out.note(
            f"the server has room for {room / 2**20:,.0f} MiB, and this needs about {need / 2**20:,.0f} MiB unless it "
            "was imported before: raise maxmemory if the import stops"
        )


def _queues(gopher: Client, wanted: Sequence[str]) -> list[str]:
    known = gopher.server.queues()
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"there is no queue {name!r}: `gopherctl stats` lists them.")
    return sorted({*wanted}) or known


def _jobs_in(gopher: Client, queues: Sequence[str], finished: bool) -> int:
    """Return how many jobs queues have at about this time."""
    keys = [gopher.server.keys.for_queue(queue) for queue in queues]
    stats = gopher.stats().queues
    figures = [stats[queue] for queue in queues if queue in stats]
    total = sum(each.waiting + each.processing + each.scheduled + each.retrying + each.failed for each in figures)
    return total + (sum(gopher.server.client.zcard(each.finished) for each in keys) if finished else 0)


def _tell_exported(out: Output, file: str, result: Exported) -> None:
    if file != _STDIO and out.data(result):
        return
    told = f"{_count(result.jobs, 'job')} of {_count(result.queues, 'queue')} exported"
    out.note(told if file == _STDIO else f"{told} to {file}")
    if corrupt := result.lines.get("corrupt", 0):
        out.note(f"{_count(corrupt, 'corrupt record')}, which can't be imported: see `gopherctl doctor`")
    if result.running:
        out.note(
            f"{_count(result.running, 'running job')} exported as waiting; where they are imported, they run again"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def _repeatable(result: Imported, file: BinaryIO, out: Output) -> Iterator[None]:
    """Tell how to continue after an early end."""
    try:
        yield
    except (GopherError, OSError, KeyboardInterrupt) as error:
        out.data(result)
        if result.imported or result.skipped["repeated"]:
            name = _STDIO if file is sys.stdin.buffer else file.name
            fixed = "fix that line, or use --skip-bad, and " if isinstance(error, BadLine) else ""
            out.note(
                f"lines 1 to {result.last_line:,} are imported; {fixed}repeat `gopherctl import {shlex.quote(name)}`"
            )
        raise


def _tell_imported(out: Output, result: Imported) -> None:
    if out.data(result):
        return
    kinds = {
        "job": "job",
        "schedule": "schedule",
        "limit": "limit",
        "tenant": "tenant",
        "webhook": "webhook",
        "request": "idempotency key",
        "api_key": "API key",
    }
    told = [_count(result.imported[kind], what) for kind, what in kinds.items() if result.imported[kind]]
    out.line(f"imported: {', '.join(told) or 'nothing'}")
    for reason, words in _REASONS.items():
        if result.skipped[reason]:
            out.line(f"skipped: {result.skipped[reason]:,} {words}")
    for kept in result.kept:
        out.note(f"kept as it is there: {kept}")
    if result.paused:
        out.note(f"paused: {', '.join(result.paused)}")
        for queue in result.paused:
            out.note(f"queue {queue!r}: {resume_queue(queue)}")
    if result.bad:
        out.note(f"{_count(result.bad, 'invalid line')} skipped")

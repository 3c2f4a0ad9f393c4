"""`replay`: runs the handler of a job here, such as that of a dead letter, and changes nothing on the server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from .common import client, common, load_registry
from .output import Output
from .running import HANDLERS

if TYPE_CHECKING:
    from gopher.testing import Recorder, Replayed

    from gopher.jobs.registry import Registry


@click.command()
@click.argument("job_id")
@click.option("--local", is_flag=True, help="Run the handler in this process.")
@click.option("--pdb", "debugs", is_flag=True, help="Enter the debugger where the handler fails.")
@click.option("--timeout", "with_timeout", is_flag=True, help="Apply the job's timeout; there is none otherwise.")
@click.option("--enqueue", is_flag=True, help="Really enqueue the jobs that the handler enqueues.")
@click.option(
    "--files",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for the files that the handler stores.  [default: replay-<id>]",
)
@HANDLERS
@common
def replay(
    out: Output, job_id: str, local: bool, debugs: bool, with_timeout: bool, enqueue: bool, folder: Path | None
) -> int:
    """Run the handler of a job in this process, with what it was given, such as to debug a dead letter.

    Payload, results of parents and files are read from the server, or over the API; nothing there is changed. What the
    handler itself does elsewhere is real. Exits 1 unless it completes.

    \b
    gopherctl replay 01a20d1c-ddd6-7e46-9daa-2af634a7f173 --local --pdb
    """
    if not local:
        raise click.UsageError(
            f"add --local to run the handler in this process; `gopherctl retry -i {job_id}` retries a dead letter on a "
            f"worker, and `gopherctl copy {job_id}` submits a copy of any job."
        )
    if debugs and out.as_json:
        raise click.UsageError("--pdb can't be used with --json: the debugger writes to the same output.")
    from gopher.testing import Replay

    from gopher.config.settings import Settings
    from gopher.telemetry import logs

    settings = Settings.from_env()
    logs.configure(settings)
    with client() as gopher, _as_in_a_child(settings.handlers, load_registry(settings)) as registry:
        job = Replay(job_id, gopher, registry=registry, folder=folder, enqueue=enqueue, reporter=_reporter(out))
        given = job.given
        out.note(
            f"attempt {given.attempt} of {given.type} ({given.status} on the server), with what it was given there"
        )
        for note in job.notes:
            out.note(note)
        with redirect_stdout(sys.stderr) if out.as_json else nullcontext():
            replayed = job.run(with_timeout=with_timeout, on_error=_debug if debugs else _leave)
    _show(out, replayed)
    return 0 if replayed.error is None else 1


@contextmanager
def _as_in_a_child(modules: tuple[str, ...], registry: "Registry") -> "Iterator[Registry]":
    """Call the hooks of a worker's processes, as that does, around what is run with the handlers of modules."""
    from gopher.hooks import lifecycle

    lifecycle.preload(modules)
    lifecycle.start_child(modules)
    try:
        yield registry
    finally:
        for hook, error in lifecycle.stop_child(modules):
            click.echo(f"{hook}() has failed: {error!r}", err=True)


def _reporter(out: Output) -> "Recorder":
    """Return what shows the reports of the handler as they come."""
    from gopher.testing import Recorder

    class Shown(Recorder):
        def log(self, line: str) -> None:
            self.lines.append(line)
            out.note(f"log: {line}")

        def progress(self, fraction: float, message: str) -> None:
            self.reports.append((fraction, message))
            out.note(f"progress: {fraction:.0%} {message}".rstrip())

    return Shown()


def _leave(_error: BaseException) -> None:
    """Do without a debugger."""


def _debug(error: BaseException) -> None:
    """Enter the debugger in the frame that has raised an exception."""
    import pdb
    import traceback

    from gopher.worker.children.failures import handler_frames

    frames = handler_frames(error)
    traceback.print_exception(type(error), error, frames)
    # A payload that does not fit was rejected before the handler was called.
    pdb.post_mortem(frames or error.__traceback__)


def _show(out: Output, replayed: "Replayed") -> None:
    fields: dict[str, Any] = {
        name: getattr(replayed, name) for name in replayed.__struct_fields__ if name not in ("error", "attached")
    }
    fields["attached"] = [str(path) for path in replayed.attached]
    fields["error"] = replayed.error and {
        "type": replayed.error_type, "message": replayed.message, "traceback": replayed.traceback,
    }  # fmt: skip
    if out.data(fields):
        return
    for job in replayed.enqueued:
        out.line(f"would enqueue {job.type} in queue {job.queue}: {bytes(job.payload).decode()}")
    for other in replayed.held_back:
        out.line(f"would {other}")
    for path in replayed.attached:
        out.line(f"stored {path}")
    if replayed.error is None:
        out.line(f"completed: {msgspec.json.encode(replayed.result).decode()}")
        return
    out.line(replayed.traceback.rstrip() or f"{replayed.error_type}: {replayed.message}")
    out.line(f"{replayed.outcome}: {replayed.error_type}")

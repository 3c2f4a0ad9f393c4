"""`batches`: jobs in any queues that are counted together."""

from typing import Any

import click
import msgspec

from gopher.jobs.batch import EVENTS, BatchFilter, BatchView, NewBatch
from gopher.jobs.callbacks import BatchCallback
from gopher.jobs.decoding import decode
from gopher.jobs.submission import Submission

from .common import client, common
from .derived import options
from .output import Output, when
from .submitting import read_callback

_CALLBACK = msgspec.json.Decoder(Submission)


@click.group(invoke_without_command=True)
@common
def batches(out: Output) -> None:
    """Create and manage batches: jobs in any queues that are counted together."""
    if click.get_current_context().invoked_subcommand is None:
        _list(out, BatchFilter())


@batches.command("list")
@options(BatchFilter)
@common
def list_batches(out: Output, **fields: Any) -> None:
    """List batches, newest first."""
    _list(out, BatchFilter(**fields))


def _list(out: Output, asked: BatchFilter) -> None:
    with client() as gopher:
        page = gopher.batches.page(**msgspec.structs.asdict(asked))
    if out.data(page):
        return
    columns = ("batch", "name", "queue", "status", "ended", "total", "failed", "created (UTC)")
    rows = [
        (
            view.batch_id, view.name, view.queue, view.status, view.ended, view.total, view.failed,
            when(view.created_at),
        )
        for view in page.batches
    ]  # fmt: skip
    empty = "no batches: create one with `gopherctl batches create`"
    out.table(columns, rows, empty=empty, less_needed=("queue", "created (UTC)", "name"))
    out.corrupt((view.batch_id, view.corrupt or ()) for view in page.batches)


def _callbacks(command: Any) -> Any:
    for event in reversed(EVENTS):
        meaning = {"complete": "all jobs have ended", "success": "all have completed", "failure": "some have failed"}
        text = f'Job to run once {meaning[event]}, as JSON: {{"type": ..., "payload": {{...}}}}.'
        command = click.option(f"--on-{event}", metavar="JSON", help=text)(command)
    return command


@batches.command("create")
@click.option("--name", default="", help="Name for people.")
@click.option("--queue", default="", help="Queue that keeps the batch, by default that of its callbacks.")
@_callbacks
@click.option("--callback", metavar="URL", help='Report its end to this URL, or {"url": ..., "events": [...]}.')
@click.option("--retention", metavar="DURATION", help="How long to keep it after its end; 7 days by default.")
@common
def create(out: Output, **fields: Any) -> None:
    """Create a batch and print its id, for submit --batch ID. It runs its callbacks once it is sealed."""
    for event in EVENTS:
        text = fields[f"on_{event}"]
        fields[f"on_{event}"] = None if text is None else decode(_CALLBACK, text.encode())
    if fields["callback"] is not None:
        fields["callback"] = read_callback(fields["callback"], BatchCallback)
    with client() as gopher:
        view = gopher.batches.create(NewBatch(**fields))
    if not out.data(view):
        out.line(view.batch_id)


@batches.command("show")
@click.argument("batch_id", metavar="BATCH")
@click.option("--wait", type=float, metavar="SECONDS", help="Wait for it to end, at most so long.")
@common
def show(out: Output, batch_id: str, wait: float | None) -> int:
    """Show a batch and its progress. With --wait, exit with 1 unless all its jobs have completed."""
    with client() as gopher:
        view = gopher.batches.get(batch_id) if wait is None else gopher.batches.wait(batch_id, wait)
    if not out.data(view):
        _show(out, view)
    return 0 if wait is None or view.status == "succeeded" else 1


def _show(out: Output, view: BatchView) -> None:
    shown = {name: value for name, value in msgspec.structs.asdict(view).items() if isinstance(value, str | int)}
    callbacks = [(f"on_{event}", job_id or "not due") for event, job_id in view.callbacks.items()]
    reported = [("callback", view.callback.url)] if view.callback else []
    out.fields([*shown.items(), *callbacks, *reported])
    columns = ("type", "total", "completed", "failed", "pending")
    rows = [(name, each.total, each.completed, each.failed, each.pending) for name, each in view.types.items()]
    out.table(columns, rows, empty=f"no jobs: add some with `gopherctl submit -t email --batch {view.batch_id}`")


@batches.command("seal")
@click.argument("batch_id", metavar="BATCH")
@common
def seal(out: Output, batch_id: str) -> None:
    """Seal a batch: it takes no more jobs, and its callbacks run once all that it has have ended."""
    with client() as gopher:
        _tell(out, gopher.batches.seal(batch_id), "is sealed")


@batches.command("cancel")
@click.argument("batch_id", metavar="BATCH")
@common
def cancel(out: Output, batch_id: str) -> None:
    """Cancel all jobs of a batch that have not ended, and seal it. The scheduler does it gradually."""
    with client() as gopher:
        _tell(out, gopher.batches.cancel(batch_id), "is being cancelled")


@batches.command("retry")
@click.argument("batch_id", metavar="BATCH")
@common
def retry(out: Output, batch_id: str) -> None:
    """Retry all failed jobs of a batch. The scheduler does it gradually."""
    with client() as gopher:
        _tell(out, gopher.batches.retry(batch_id), "is being retried")


def _tell(out: Output, view: BatchView, what: str) -> None:
    if not out.data(view):
        out.line(f"{view.batch_id} {what}: {view.ended} of {view.total} jobs have ended")

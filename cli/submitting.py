"""`submit`: a job from the command line."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.job import PRIORITIES, NewJob, State, created_ms
from gopher.settings import Settings
from gopher.submission import MAX_PAYLOAD, Submission, prepare
from gopher.times import to_rfc3339

from .common import DURATION, client, common, load_registry
from .hints import missing
from .output import Output
from .waiting import finish

#: `--wait` without a value.
_FOREVER = "inf"
#: Fields of a submission whose option has another name.
_OPTIONS = {"execute_at": "--at", "type": "-t", "payload": "-p"}


@click.command()
@click.option("-t", "--type", "job_type", required=True, metavar="TYPE", help="The job's type, see `gopherctl types`.")
@click.option(
    "-p",
    "--payload",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="The job's payload: a JSON object, @FILE to read it from a file, or - from stdin.",
)
@click.option(
    "-r",
    "--max-retries",
    type=click.IntRange(0, 100),
    metavar="N",
    help="Attempts after the first.",
)
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True)
@click.option("--queue", default="default", show_default=True)
@click.option("--delay", metavar="DURATION", help="Run it that long from now: 10s, 1h30m.")
@click.option("--at", "execute_at", metavar="TIME", help="Run it at this time: 2030-01-31T08:00:00+01:00.")
@click.option("--timeout", metavar="DURATION", help="Stop an attempt that takes longer; else the handler's.")
@click.option("--expires-in", metavar="DURATION", help="Never run it when it has not started by then.")
@click.option("--retention", metavar="DURATION", help="Keep its record so long after its end; else GOPHER_RESULT_TTL.")
@click.option("--metadata", metavar="JSON", help="A small JSON object given back with the job; @FILE works too.")
@click.option(
    "--wait",
    type=str,
    is_flag=False,
    flag_value=_FOREVER,
    metavar="[DURATION]",
    help="Wait until it has ended, at most so long; exit 0 only if it completed.",
)
@common
def submit(out: Output, wait: str | None, **fields: Any) -> int:
    """Submit a job and print its id.

    \b
    gopherctl submit -t math -p '{"operation": "factorial", "number": 50}' --wait
    gopherctl submit -t image_resize -p @job.json --delay 10m --priority high
    """
    patience = None if wait is None else _patience(wait)
    submission = _submission(fields)
    settings = Settings.from_env()
    with client(load_registry(settings)) as gopher:
        job = _prepared(gopher, submission)
        gopher.store([job])
        answer = _answer(job)
        if patience is None:
            _tell(out, answer)
        for hint in missing(gopher, job.type, job.queue, answer["status"]):
            out.note(hint)
        return 0 if patience is None else finish(gopher, job.id, patience, out)


def _patience(text: str) -> float:
    return float("inf") if text == _FOREVER else DURATION.convert(text, None, None)


def _submission(fields: dict[str, Any]) -> Submission:
    given = {name: value for name, value in fields.items() if value is not None}
    given["type"] = given.pop("job_type")
    for name in ("payload", "metadata"):
        if name in given:
            given[name] = msgspec.Raw(_json(given[name], f"--{name}"))
    return Submission(**given)


def _json(text: str, option: str) -> bytes:
    """Return what an option holds or names, byte for byte."""
    if text == "-":
        return sys.stdin.buffer.read(MAX_PAYLOAD + 1)
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with Path(text[1:]).open("rb") as file:
            return file.read(MAX_PAYLOAD + 1)
    except OSError as error:
        raise click.UsageError(f"{option}: can't read {text[1:]}: {error.strerror}.") from None


def _prepared(gopher: Client, submission: Submission) -> NewJob:
    try:
        return prepare(submission, gopher.registry)
    except InvalidJob as error:
        raise click.UsageError(_in_options(error, submission.type)) from None


def _in_options(error: InvalidJob, job_type: str) -> str:
    """Return the error with the option's name in place of the field's, and where to look."""
    name, _, rest = (error.field or "").lstrip("/").partition("/")
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}") if name else ""
    where = f"{option}{' /' + rest if rest else ''}: " if option else ""
    step = " Set GOPHER_HANDLERS to the modules that have it." if name == "type" else ""
    if name == "payload" and error.code == "invalid_job":
        step = f" `gopherctl types {job_type}` shows its fields."
    return f"{where}{error.details}.{step}"


def _answer(job: NewJob) -> dict[str, Any]:
    """Return what the API answers to a submission."""
    created = created_ms(job.id)
    later = job.due.startswith("+") or (job.due and int(job.due) > created)
    return {
        "job_id": job.id,
        "status": str(State.SCHEDULED if later else State.PENDING),
        "created_at": to_rfc3339(created),
        "type": job.type,
        "queue": job.queue,
        "priority": job.priority,
    }


def _tell(out: Output, answer: dict[str, Any]) -> None:
    if not out.data(answer):
        out.line(answer["job_id"])
        if out.terminal:
            out.note(f"{answer['status']}; `gopherctl wait {answer['job_id']}` follows it")

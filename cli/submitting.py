"""`submit`: submits a job."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from gopher.errors import InvalidJob
from gopher.interface import Gopher
from gopher.jobs.dry_run import DryRun
from gopher.jobs.models import Accepted
from gopher.jobs.schedule import from_recurring
from gopher.jobs.submission import MAX_PAYLOAD, Recurring, Submission

from .common import DURATION, checking_client, common, known_types
from .derived import options
from .hints import missing
from .options import option_of
from .output import Output
from .waiting import finish

#: `--wait` without a value.
_FOREVER = "inf"


@click.command()
@click.option(
    "-t",
    "--type",
    "job_type",
    required=True,
    metavar="TYPE",
    shell_complete=known_types,
    help="Job type; see `gopherctl types`.",
)
@click.option(
    "-p",
    "--payload",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="Job payload: a JSON object, @FILE, or - for stdin.",
)
@options(Submission, without=("type", "payload", "recurring", "metadata"))
@click.option("--metadata", metavar="JSON", help="Small JSON object to store with the job, or @FILE.")
@click.option("--cron", metavar="EXPRESSION", help="Create a schedule instead: '0 0 * * *', @daily.")
@click.option("--tz", metavar="ZONE", help="Timezone of the schedule, such as Europe/Berlin.")
@click.option("--name", metavar="NAME", help="Name of the schedule.")
@click.option("--dry-run", is_flag=True, help="Validate and report what would happen; store nothing.")
@click.option(
    "--wait",
    type=str,
    is_flag=False,
    flag_value=_FOREVER,
    metavar="[DURATION]",
    help="Wait for the job to finish, at most this long; exit 0 only if it completed.",
)
@common
def submit(
    out: Output, wait: str | None, cron: str | None, tz: str | None, name: str | None, dry_run: bool, **fields: Any
) -> int:
    """Submit a job and print its id.

    \b
    gopherctl submit -t math -p '{"operation": "factorial", "number": 50}' --wait
    gopherctl submit -t image_resize -p @job.json --delay 10m --priority high
    gopherctl submit -t cleanup --cron '0 0 * * *' --tz Europe/Berlin --name nightly
    """
    from .schedules import put_recurring

    patience = None if wait is None else _patience(wait)
    submission = _submission(fields)
    if cron is None and (tz or name):
        raise click.UsageError("--tz and --name require --cron.")
    with checking_client() as gopher:
        try:
            if cron is not None:
                put_recurring(gopher, *from_recurring(Recurring(cron, tz or "UTC", name), submission, None), out)
                return 0
            if dry_run:
                _show_dry_run(out, gopher.dry_run_submission(submission))
                return 0
            answer = gopher.submit(submission)
        except InvalidJob as error:
            raise click.UsageError(_in_options(error, submission.type)) from None
        return _follow_up(gopher, answer, patience, out)


def _follow_up(gopher: Gopher, answer: Accepted, patience: float | None, out: Output) -> int:
    """Report what was stored, with hints about missing processes; with `--wait`, wait for its end."""
    if patience is None:
        _tell(out, answer)
    if answer.duplicate:
        out.note("a job with this unique key already exists")
    for hint in missing(gopher, answer.type, answer.queue, answer.status):
        out.note(hint)
    return 0 if patience is None else finish(gopher, answer.job_id, patience, out)


def _show_dry_run(out: Output, dry_run: DryRun) -> None:
    if not out.data(dry_run):
        fields = [(name, getattr(dry_run, name)) for name in dry_run.__struct_fields__]
        out.fields([(name, str(value) if isinstance(value, bool | list) else value) for name, value in fields])


def _patience(text: str) -> float:
    return float("inf") if text == _FOREVER else DURATION.convert(text, None, None)


def _submission(fields: dict[str, Any]) -> Submission:
    given = {name: value for name, value in fields.items() if value is not None}
    given["type"] = given.pop("job_type")
    given["after"] = list(given.get("after", ()))
    for name in ("payload", "metadata"):
        if name in given:
            given[name] = msgspec.Raw(read_json(given[name], f"--{name}"))
    return Submission(**given)


def read_json(text: str, option: str) -> bytes:
    """Return the bytes of an option's value, or of the file that it names."""
    if text == "-":
        return sys.stdin.buffer.read(MAX_PAYLOAD + 1)
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with Path(text[1:]).open("rb") as file:
            return file.read(MAX_PAYLOAD + 1)
    except OSError as error:
        raise click.UsageError(f"{option}: can't read {text[1:]}: {error.strerror}.") from None


def _in_options(error: InvalidJob, job_type: str) -> str:
    """Return the error with the option's name in place of the field's, and a hint."""
    name = (error.field or "").lstrip("/").partition("/")[0]
    where = f"{option_of(str(error.field))}: " if name else ""
    step = " Set GOPHER_HANDLERS to the module that registers it." if name == "type" else ""
    if name == "payload" and error.code == "invalid_job":
        step = f" See its fields with `gopherctl types {job_type}`."
    return f"{where}{error.details}.{step}"


def _tell(out: Output, answer: Accepted) -> None:
    if not out.data(answer):
        out.line(answer.job_id)
        if out.terminal:
            out.note(f"{answer.status}; `gopherctl wait {answer.job_id}` follows it")

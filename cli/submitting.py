"""`submit`: submits a job."""

from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gopher.base.names import PART_NAME
from gopher.base.near import did_you_mean
from gopher.errors import GopherError, InvalidJob
from gopher.interface import Gopher
from gopher.jobs.callbacks import BatchCallback, Callback
from gopher.jobs.dry_run import DryRun
from gopher.jobs.models import Accepted
from gopher.jobs.schedule import from_recurring
from gopher.jobs.submission import Recurring, Submission

from .common import DURATION, checking_client, common, known_types
from .derived import options
from .hints import missing
from .json_input import read_json
from .options import option_of
from .output import Output
from .waiting import finish

#: `--wait` without a value.
_FOREVER = "inf"

AnyCallback = TypeVar("AnyCallback", Callback, BatchCallback)


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
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Upload a file for the handler, which knows it as NAME, by default `file`. May be repeated.",
)
@options(Submission, without=("type", "payload", "recurring", "metadata", "files"))
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
    out: Output,
    wait: str | None,
    cron: str | None,
    tz: str | None,
    name: str | None,
    dry_run: bool,
    files: tuple[str, ...],
    **fields: Any,
) -> int:
    """Submit a job and print its id.

    \b
    gopherctl submit -t math -p '{"operation": "factorial", "number": 50}' --wait
    gopherctl submit -t image_resize -p @job.json --delay 10m --priority high
    gopherctl submit -t image_resize --file cat.jpg -p '{"file": "file", "width": 640}'
    gopherctl submit -t cleanup --cron '0 0 * * *' --tz Europe/Berlin --name nightly
    """
    from .schedules import put_recurring

    patience = None if wait is None else _patience(wait)
    submission = _submission(fields)
    paths = _files(files)
    if cron is None and (tz or name):
        raise click.UsageError("--tz and --name require --cron.")
    if paths and (cron is not None or dry_run):
        raise click.UsageError(f"--file can't be used with {'--cron' if cron is not None else '--dry-run'}.")
    with checking_client() as gopher:
        try:
            if cron is not None:
                put_recurring(gopher, *from_recurring(Recurring(cron, tz or "UTC", name), submission, None), out)
                return 0
            if dry_run:
                _show_dry_run(out, gopher.dry_run_submission(submission))
                return 0
            if paths:
                submission = msgspec.structs.replace(submission, files=gopher.files.sent(paths))
            answer = gopher.submit(submission)
        except InvalidJob as error:
            if not error.is_permanent:
                raise
            hint = _type_hint(gopher, submission.type, error) if error.field == "/type" else ""
            raise click.UsageError(_in_options(error, submission.type) + hint) from None
        return _follow_up(gopher, answer, patience, out, by="id" if submission.job_id else "unique key")


def _follow_up(gopher: Gopher, answer: Accepted, patience: float | None, out: Output, *, by: str) -> int:
    """Report what was stored, with hints about missing processes; with `--wait`, wait for its end.

    `by`: what an earlier job is found by.
    """
    if patience is None:
        _tell(out, answer)
    if answer.duplicate:
        out.note(f"a job with this {by} already exists")
    if answer.replaced:
        out.note("replaced the payload of the job with this unique key")
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
    for name in ("after", "tags"):
        if given.get(name):
            given[name] = list(given[name])
        else:
            given.pop(name, None)
    if "callback" in given:
        given["callback"] = read_callback(given["callback"], Callback)
    for name in ("payload", "metadata"):
        if name in given:
            given[name] = msgspec.Raw(read_json(given[name], option_of(f"/{name}")))
    return Submission(**given)


def _files(texts: tuple[str, ...]) -> dict[str, Path]:
    """Return the paths of files by name."""
    paths: dict[str, Path] = {}
    for text in texts:
        name, given, path = text.partition("=")
        if not given or not PART_NAME.fullmatch(name) or Path(text).is_file():
            # Of a path that has a = itself.
            name, path = "file", text
        if name in paths:
            raise click.UsageError(f"--file: the name {name!r} is given more than once: use --file NAME=PATH.")
        # A pipe is one too, as in --file <(convert ...).
        if not Path(path).exists() or Path(path).is_dir():
            raise click.UsageError(f"--file: {path} is not a file.")
        paths[name] = Path(path)
    return paths


def read_callback(text: str, kind: type[AnyCallback]) -> AnyCallback:
    """Return the callback of an option's value: its URL, or a JSON object."""
    if not text.startswith(("{", "@", "-")):
        return kind(text)
    try:
        return msgspec.json.decode(read_json(text, "--callback"), type=kind)
    except msgspec.MsgspecError as error:
        raise click.UsageError(f'--callback: expected a URL, or {{"url": ...}}: {error}.') from None


def _in_options(error: InvalidJob, job_type: str) -> str:
    """Return the error with the option's name in place of the field's, and a hint."""
    name = (error.field or "").lstrip("/").partition("/")[0]
    where = f"{option_of(str(error.field))}: " if name else ""
    fields = name == "payload" and error.code == "invalid_job"
    step = f" See its fields with `gopherctl types {job_type}`." if fields else ""
    end = "" if error.details.endswith("?") else "."
    return f"{where}{error.details}{end}{step}"


def _type_hint(gopher: Gopher, job_type: str, error: InvalidJob) -> str:
    """Return what to do about a type that isn't known: the name of a task begins with that of its module."""
    try:
        near = did_you_mean(job_type, [view.name for view in gopher.types()])
    except GopherError:
        near = ""  # An API key may be allowed to submit, but not to read.
    if near:
        # The error may say so itself.
        return "" if near in error.details else f" D{near[1:]}"
    module = job_type.rpartition(".")[0]
    return f" Set GOPHER_HANDLERS to the module that registers it{f', such as {module!r}' if module else ''}."


def _tell(out: Output, answer: Accepted) -> None:
    if not out.data(answer):
        out.line(answer.job_id)
        if out.terminal:
            out.note(f"{answer.status}; `gopherctl wait {answer.job_id}` follows it")

"""The command `gopherctl`: the table of commands, and error handling.

Exit codes: 0 success, 1 failed or not found, 2 usage error. Only click is imported here, so that `--help`,
`--version` and shell completion are fast.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click

from gopher import __version__
from gopher.base import own_process
from gopher.base.first_process import end_on_sigterm
from gopher.base.printable import printable
from gopher.base.terminal import wants_colours

from . import streams
from .groups import SuggestingGroup
from .options import option_of

DONE, FAILED, USAGE = 0, 1, 2
#: The shells' exit code of a program killed by SIGINT.
INTERRUPTED = 130

#: Command -> its module, and its line in `gopherctl --help`, in order of use.
COMMANDS = {
    "init": ("init", "Add Gopher to the project in this folder."),
    "up": ("up", "Run everything in one terminal: server, API, worker, scheduler."),
    "web": ("running", "Run the HTTP API."),
    "worker": ("running", "Run a worker."),
    "scheduler": ("running", "Run a scheduler."),
    "submit": ("submitting", "Submit a job."),
    "submit-many": ("submit_many", "Submit jobs from a file, one per line."),
    "job": ("jobs", "Show a job."),
    "jobs": ("jobs", "List jobs, newest first."),
    "wait": ("waiting", "Wait for a job to finish."),
    "cancel": ("jobs", "Cancel a job, or all jobs that match filters."),
    "cancellations": ("acting", "Show and stop cancellations of many jobs."),
    "run-now": ("acting", "Run a job now that is scheduled, retrying or throttled."),
    "move": ("acting", "Move a waiting job to another queue or priority."),
    "copy": ("acting", "Submit a copy of a job."),
    "files": ("files", "List and download the files that a job has stored."),
    "logs": ("jobs", "Show the log and output of a job."),
    "stack": ("fleet", "Show where a running job is in its code."),
    "why": ("flow", "Explain why a job isn't running yet."),
    "stats": ("figures", "Show statistics of all queues."),
    "workers": ("figures", "List the live workers and what they are running."),
    "quiet": ("fleet", "Let workers fetch no more jobs."),
    "stop": ("fleet", "Let workers finish their jobs and exit."),
    "capacity": ("scaling", "Show how many processes and workers the jobs need."),
    "scale": ("scaling", "Print the commands that start or stop workers."),
    "check": ("check", "Check handler modules, in a build or before a deploy."),
    "types": ("job_types", "List the job types."),
    "health": ("health", "Check server, workers and scheduler."),
    "doctor": ("doctor", "Check server, processes and jobs, and suggest fixes."),
    "list-failed": ("dead", "List dead letters, newest first."),
    "retry": ("dead", "Retry dead letters by id."),
    "retry-all": ("dead", "Retry all dead letters, or those that match filters."),
    "redrives": ("redrives", "Show and stop gradual redrives."),
    "replay": ("replay", "Run the handler of a job here, to find what fails."),
    "discard": ("dead", "Delete dead letters."),
    "purge": ("dead", "Delete all jobs of a queue in a given state."),
    "batches": ("batches", "Create and manage batches of jobs."),
    "pause": ("flow", "Pause a queue or a job type."),
    "resume": ("flow", "Resume a paused queue or job type."),
    "limits": ("flow", "Show and set rate and concurrency limits of job types."),
    "tenants": ("tenants", "Show tenants, and set what each gets."),
    "schedules": ("schedules", "Show and manage recurring jobs."),
    "export": ("transfer", "Export jobs and settings to a file."),
    "import": ("transfer", "Import an export, also into a server with other jobs."),
    "keys": ("api_keys", "Create, list, replace and revoke API keys on the server."),
    "webhooks": ("webhooks", "Manage webhooks, and send their messages again."),
    "audit": ("audit", "Show who did what, and attempts that were refused."),
    "bench": ("bench", "Measure throughput and latency of this installation."),
    "completion": ("completion", "Print a shell's completion script."),
}
#: Commands that --help does not show: for those who test Gopher itself, and those that were renamed.
HIDDEN = {"debug": "debug", "retries": "redrives"}

_NEXT_STEPS = {
    "QueueUnavailable": "Start everything with `gopherctl up`, or set the server's URL with --redis-url or REDIS_URL.",
    "ApiUnavailable": "Check GOPHER_URL; without it, commands use REDIS_URL.",
    "AccessRefused": "Check GOPHER_API_KEY.",
    "ApiTooOld": "Upgrade the API; if it is of this release, check the path in GOPHER_URL.",
    "OutcomeUnknown": "Check `gopherctl jobs` before you repeat the command.",
    "QueueFull": "Give the server more memory, or free some with `gopherctl purge --queue-state failed`.",
    "StorageFull": "Free disk space on the server.",
    "QueueBusy": "Try again in a moment.",
    "ScheduleChanged": "`gopherctl schedules` shows it as it is now.",
    "ScheduleNotFound": "`gopherctl schedules` lists them.",
    "RedriveNotFound": "`gopherctl redrives` lists them.",
    "CancellationNotFound": "`gopherctl cancellations` lists them.",
    "BatchNotFound": "`gopherctl batches` lists them.",
    "KeyNotFound": "`gopherctl keys` lists them.",
    "WorkerNotFound": "`gopherctl workers` lists them.",
    "WebhookNotFound": "`gopherctl webhooks` lists them.",
    "JobNotFound": "`gopherctl jobs` lists those that are kept.",
}


class LazyGroup(SuggestingGroup):
    """Imports a command's module on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        name = COMMANDS[cmd_name][0] if cmd_name in COMMANDS else HIDDEN[cmd_name]
        module = import_module(f".{name}", __package__)
        attribute = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, f"{attribute}_" if iskeyword(attribute) else attribute)
        return command

    def has_command(self, name: str) -> bool:
        return name in COMMANDS or name in HIDDEN

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gopherctl")
def cli() -> None:
    """Gopher, a job queue: run it, submit jobs, manage them.

    Commands accept --json, and --redis-url (default: REDIS_URL) if they use the server. If GOPHER_URL and
    GOPHER_API_KEY are set, commands use that API instead. Exit codes: 0 success, 1 failed or not found, 2 usage error.
    """


def main() -> NoReturn:
    """Run `gopherctl` with the arguments of the process."""
    end_on_sigterm()
    own_process.begin()
    # Modules of GOPHER_HANDLERS may be in the current folder. Last, so that nothing there shadows a library.
    if "" not in sys.path:
        sys.path.append("")
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors that the user can fix are one sentence on stderr."""
    streams.prepare()
    # Also for messages outside of commands.
    with click.Context(cli, color=None if wants_colours() else False) as context:
        return _run(list(sys.argv[1:] if arguments is None else arguments), context.color)


def _run(arguments: list[str], color: bool | None) -> int:
    from gopher.errors import GopherError, InvalidJob, QueueUnavailable

    try:
        if (bad := streams.not_text(arguments)) is not None:
            raise click.UsageError(f"the argument {bad} is not valid {sys.getfilesystemencoding()} text.")
        answer = cli.main(arguments, prog_name="gopherctl", standalone_mode=False, color=color)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as abort:
        # Ctrl-C, or a declined confirmation.
        return INTERRUPTED if isinstance(abort.__cause__, KeyboardInterrupt) else FAILED
    except BrokenPipeError:
        # The reader has closed the pipe (`gopherctl jobs | head`): nothing more can be written, not even at exit.
        streams.discard_output()
        return FAILED
    except InvalidJob as error:
        _complain(f"{option_of(error.field)}: {error.details}" if error.field else str(error))
        return USAGE if error.is_permanent else FAILED
    except GopherError as error:
        step = _NEXT_STEPS.get(type(error).__name__, "")
        _complain(str(error), (type(error) is QueueUnavailable and _server_in_this_folder()) or step)
        return FAILED
    except OSError as error:
        streams.discard_output()
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return FAILED
    return answer if isinstance(answer, int) else DONE


def _server_in_this_folder() -> str:
    """Return a hint if `gopherctl up` runs in the current folder, and REDIS_URL is not set to its server."""
    from gopher.config.environment import given

    socket = os.path.abspath(".gopher/server.sock")
    if given(os.environ, "REDIS_URL") or not os.path.exists(socket):
        return ""
    return f"`gopherctl up` is running one in this folder: export REDIS_URL=unix://{socket}"


def _complain(sentence: str, next_step: str = "") -> None:
    # Of the API's answer or of the server's error, in which others may have a say.
    sentence = printable(sentence, keep="\n\t")
    end = "" if sentence.endswith((".", "!", "?")) or "\n" in sentence else "."
    click.echo(f"{click.style('Error:', fg='red')} {sentence}{end if next_step else ''} {next_step}".rstrip(), err=True)

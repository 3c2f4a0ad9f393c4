"""`make demo`: runs all of Gopher in a temporary folder (`python -m gopher.cli.demo`).

Submits real jobs over HTTP, runs them in a real worker, and checks each result. Exits 0 only if all checks pass.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gopher.base.installed import is_installed, remedy
from gopher.base.states import DEAD, ENDED, RUNNING, SUCCEEDED
from gopher.config.settings import Settings
from gopher.errors import ApiUnavailable, ConfigurationError, GopherError
from gopher.server.embedded import EmbeddedServer

from .demo_jobs import PHOTOGRAPH, DemoJob, Place, Wrong, all_jobs, mend
from .http import Api, free_port, is_ready
from .output import Output, draws, one_line, printable, rich_table, seconds
from .processes import Interruptions, Processes, gopherctl, interruptions

if TYPE_CHECKING:
    from rich.live import Live

#: Where the pictures are kept.
PICTURES = Path("demo-pictures")
#: Timeouts in seconds: until everything is healthy, and until all jobs have finished.
START_TIME, RUN_TIME = 30.0, 60.0
#: Timeout of stopping, in seconds.
STOP_TIME = 15.0
_LOOK_EVERY = 0.15
_COLUMNS = ("job", "type", "status", "attempts", "duration", "result")


class DemoFailed(GopherError):
    """Raised when the demo fails."""


def main() -> int:
    """Run the demo and return its exit code."""
    try:
        with _folder() as folder:
            return _run(folder)
    except GopherError as error:
        click.echo(f"{click.style('Error:', fg='red')} {printable(str(error))}", err=True)
        return 1


def _run(folder: Path) -> int:
    for extra in ("demo", "web", "handlers"):
        if not is_installed(extra):
            raise ConfigurationError(f"the demo needs more libraries: {remedy('all', 'demo')}")
    place = _prepare(folder)
    with interruptions() as noted, EmbeddedServer(folder / "server") as server:
        environ = _environ(folder, server)
        processes = Processes(lambda name, line: None, environ)
        processes.watch(noted.descriptor)
        try:
            return Demo(Settings.from_env(environ), processes, noted, place).run()
        finally:
            # Like `up`: first stop accepting jobs, then let running jobs finish; our server last.
            for names in (("web",), ("worker", "scheduler"), ("mail",)):
                processes.stop(names, STOP_TIME, hurry=lambda: noted.count > 1)
            processes.close()


class Demo:
    """One run: submit, watch, check, report."""

    def __init__(self, settings: Settings, processes: Processes, noted: Interruptions, place: Place) -> None:
        self._settings = settings
        self._api = Api(settings.server_host, settings.server_port)
        self._processes = processes
        self._noted = noted
        self._place = place
        self._jobs = all_jobs()
        self._out = Output()
        self._told: dict[str, str] = {}

    def run(self) -> int:
        """Return 0 if all jobs ended as expected."""
        started = time.monotonic()
        try:
            self._start()
            self._submit()
            self._watch()
            wrong = [self._judge(each) for each in self._jobs]
            self._show()
        except DemoFailed as error:
            wrong = [str(error)]
        reasons = [reason for reason in wrong if reason]
        for reason in reasons:
            click.echo(f"{click.style('WRONG', fg='red')}  {printable(reason)}", err=True)
        if reasons:
            self._show_logs()
            return 1
        self._out.line(f"\nAll {len(self._jobs)} jobs ended as expected, after {time.monotonic() - started:.1f} s.")
        self._out.line(f"The pictures are in {self._place.pictures.absolute()}")
        return 0

    def _start(self) -> None:
        mail_port = self._settings.smtp_url.rpartition(":")[2]
        mail = [sys.executable, "-P", "-m", "gopher.cli.demo_mail", mail_port, str(self._place.mails)]
        for name, command in (("mail", mail), *((each, gopherctl(each)) for each in ("web", "worker", "scheduler"))):
            self._processes.start(name, command)
        give_up_at = time.monotonic() + START_TIME
        while not is_ready(health := self._api.health()):
            self._go_on(0.1, give_up_at, f"Gopher is not healthy after {START_TIME:g} s: {health}")
        self._out.line(f"Server, API, worker and scheduler are running; the API is {self._api.url}. Submitting jobs:\n")

    def _submit(self) -> None:
        for each in self._jobs:
            self._out.line(f"  curl {self._api.url}/api/v1/jobs --json '{_json(each.body)}'")
            status, answer = self._call("POST", "/api/v1/jobs", each.body)
            if status != 201:
                raise DemoFailed(f"{each.title}: the API responded with {status}: {answer}")
            each.id = answer["job_id"]
        self._out.line("")

    def _watch(self) -> None:
        """Poll all jobs until each has ended, and retry the dead letter."""
        give_up_at = time.monotonic() + RUN_TIME
        with self._display() as live:
            while not all(self._has_ended(each) for each in self._jobs):
                late = [each.title for each in self._jobs if not self._has_ended(each)]
                self._go_on(_LOOK_EVERY, give_up_at, f"not finished after {RUN_TIME:g} s: {', '.join(late)}")
                for each in self._jobs:
                    self._look(each)
                self._tell_changes() if live is None else live.update(self._table(), refresh=True)

    def _has_ended(self, each: DemoJob) -> bool:
        waits_for_retry = each.redriven and not each.note
        return each.job.get("status") in ENDED and not waits_for_retry

    def _look(self, each: DemoJob) -> None:
        if self._has_ended(each):
            return
        status, each.job = self._call("GET", f"/api/v1/jobs/{each.id}")
        if status != 200:
            raise DemoFailed(f"{each.title}: the API responded with {status}: {each.job}")
        if each.redriven and not each.note and each.job["status"] in DEAD:
            self._redrive(each)

    def _redrive(self, each: DemoJob) -> None:
        """Find the dead letter, fix the cause and retry it."""
        _, letters = self._call("GET", "/api/v1/dlq")
        if each.id not in [letter["job_id"] for letter in letters["jobs"]]:
            raise DemoFailed(f"{each.title}: it failed, but the dead letter queue does not list it")
        if each.job["error"]["type"] != "FileNotFoundError":
            raise DemoFailed(f"{each.title}: it failed for another reason: {each.job['error']}")
        mend(self._place)
        status, answer = self._call("POST", f"/api/v1/dlq/{each.id}/retry")
        if status != 200:
            raise DemoFailed(f"{each.title}: its retry got the response {status}: {answer}")
        each.note = "retried from the dead letter queue"
        _, each.job = self._call("GET", f"/api/v1/jobs/{each.id}")

    def _judge(self, each: DemoJob) -> str:
        """Check a finished job; return what is wrong with it, or ""."""
        if each.job["status"] not in SUCCEEDED:
            return f"{each.title}: it is {each.job['status']}: {each.job['error']}"
        if each.job["attempts"] != each.attempts:
            return f"{each.title}: it took {each.job['attempts']} attempts instead of {each.attempts}"
        try:
            each.note = each.check(each.job, self._place)
        except Wrong as error:
            return f"{each.title}: {error}"
        except (LookupError, TypeError, ValueError, OSError) as error:
            return f"{each.title}: {error!r}"
        return ""

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        try:
            return self._api.call(method, path, body)
        except (ApiUnavailable, ValueError) as error:
            raise DemoFailed(f"{method} {path}: {error!r}") from error

    def _go_on(self, pause: float, give_up_at: float, reason: str) -> None:
        """Wait briefly; raise DemoFailed if a process has ended, on timeout, or on Ctrl-C."""
        for process in self._processes.pump(pause):
            raise DemoFailed(f"{process.name} {process.ending}")
        if self._noted.count:
            raise DemoFailed("interrupted")
        if time.monotonic() > give_up_at:
            raise DemoFailed(reason)

    @contextmanager
    def _display(self) -> "Iterator[Live | None]":
        """Yield a table that is redrawn in place, on a terminal only."""
        if not draws(sys.stdout):
            yield None
            return
        from rich.live import Live

        with Live(self._table(), auto_refresh=False, transient=True) as live:
            yield live

    def _tell_changes(self) -> None:
        for each in self._jobs:
            told = f"{each.job['status']}{_progress(each.job)}{', ' + each.note if each.note else ''}"
            if self._told.get(each.id) != told:
                self._told[each.id] = told
                self._out.line(f"  {each.title}: {told}")

    def _table(self) -> Any:
        return rich_table(_COLUMNS, self._rows())

    def _rows(self) -> Sequence[Sequence[str]]:
        return [_row(each) for each in self._jobs]

    def _show(self) -> None:
        self._out.line("")
        self._out.table(_COLUMNS, self._rows(), empty="")

    def _show_logs(self) -> None:
        for name, process in self._processes.all.items():
            self._out.note(f"\nLast lines of {name}:")
            for line in process.tail:
                self._out.note(f"  {line}")


def _row(each: DemoJob) -> list[str]:
    job = each.job
    if not job:
        return [each.title, each.body["type"], "submitted", "-", "-", ""]
    ended = job["status"] in ENDED
    result = printable(each.note) or ("" if ended else one_line(_progress(job), 40))
    return [
        each.title,
        job["type"],
        job["status"],
        str(job["attempts"]),
        seconds(job["duration"]) if ended else "-",
        result,
    ]


def _progress(job: dict[str, Any]) -> str:
    progress = job.get("progress")
    if not progress or job["status"] not in RUNNING:
        return ""
    return printable(f" {progress['fraction']:.0%} {progress.get('message', '')}".rstrip())


def _json(body: dict[str, Any]) -> str:
    import json

    return json.dumps(body, ensure_ascii=False)


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a temporary folder, deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path) -> Place:
    """Create the folders and put the photograph where the image handler may read it."""
    place = Place(files=folder / "files", mails=folder / "mails", pictures=PICTURES)
    for each in (place.files, place.mails, place.pictures):
        each.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_photograph(), place.files / PHOTOGRAPH)
    return place


def _photograph() -> Path:
    """Return a real photograph: Grace Hopper in 1984, public domain, among matplotlib's sample data."""
    # Found without importing matplotlib, which is slow.
    spec = find_spec("matplotlib")
    path = Path(spec.origin).parent / "mpl-data/sample_data" / PHOTOGRAPH if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ConfigurationError(f"the demo needs matplotlib's sample data: {remedy('all', 'demo')}")
    return path


def _environ(folder: Path, server: EmbeddedServer) -> dict[str, str]:
    """Return the environment of the demo's processes: defaults, regardless of our own environment."""
    ours = Settings.names() - {"GOPHER_REDIS_SERVER"}
    others = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("OTEL_")}
    return others | {
        "REDIS_URL": server.url,
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        "WORKER_CONCURRENCY": "4",
        "GOPHER_HANDLERS": "gopher.handlers,gopher.cli.demo_handlers",
        "GOPHER_FILES": str(folder / "files"),
        "SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
    }


if __name__ == "__main__":
    sys.exit(main())

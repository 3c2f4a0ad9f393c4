"""What the documents' examples are run against: `gopherctl up` in a folder of its own, and a mail server beside it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gopher.cli.processes import gopherctl

from tests.docs.console import Terminal
from tests.helpers import free_port, wait_until

ROOT = Path(__file__).parents[2]
#: Pages with commands that are run.
PAGES = (
    "README.md",
    "docs/api.md",
    "docs/cli.md",
    "docs/flow.md",
    "docs/handlers.md",
    "docs/observability.md",
    "docs/pictures.md",
    "docs/python.md",
    "docs/schedules.md",
)

#: Guides, whose commands and code are run by test-deep.
GUIDES = ("docs/from-celery.md", "docs/from-rq.md")

_MODULE = re.compile(r"```python\n# (\w+)\.py\n(.*?)```", re.DOTALL)


@contextmanager
def running_system(folder: Path, page: str) -> Iterator[Terminal]:
    """Run everything in `folder` with the handlers that a page shows; yield a terminal to type its commands into."""
    modules = modules_of(page)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    # Where `make` puts the environment; the examples take their photograph from there.
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "mail").mkdir()
    mail_port = free_port()
    handlers = [
        "gopher.handlers",
        *(name for name, source in modules.items() if "@handler" in source or "@task" in source),
    ]
    environ = _environ(SMTP_URL=f"smtp://127.0.0.1:{mail_port}", GOPHER_HANDLERS=",".join(handlers))
    mail = [sys.executable, "-P", "-m", "gopher.cli.demo_mail", str(mail_port), "mail"]
    with (
        _process(mail, folder, "mail.log", environ) as post,
        _process(gopherctl("up"), folder, "up.log", environ) as up,
    ):
        wait_until(lambda: "mail server on" in post.read_text(), 60, "the mail server")
        ready = wait_until(lambda: re.search(r"ready: (http://\S+) ", up.read_text()), 120, f"`gopherctl up`: {up}")
        yield Terminal(folder, ready[1], {**environ, "REDIS_URL": f"unix://{folder}/.gopher/server.sock"})


def modules_of(page: str) -> dict[str, str]:
    """Return the Python files that a page shows: those whose first line is their name."""
    return dict(_MODULE.findall(page))


def _environ(**settings: str) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "PORT", "PYTEST_ADDOPTS")}
    small = {"SERVER_HOST": "127.0.0.1", "SERVER_PORT": "0", "WEB_CONCURRENCY": "1", "WORKER_CONCURRENCY": "2"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    return {**environ, **small, **settings, "PATH": path}


@contextmanager
def _process(command: list[str], folder: Path, log_name: str, environ: dict[str, str]) -> Iterator[Path]:
    """Run a process for as long as a `with` lasts; yield the file with what it says."""
    log = folder / log_name
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield log
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""What the documents' examples are run against: `gopherctl up` in a folder of its own, and a mail server beside it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gopher.cli.processes import gopherctl

from tests.app.conftest import free_port
from tests.docs.console import Terminal
from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]
#: Pages with commands that are run.
PAGES = ("README.md", "docs/api.md", "docs/cli.md", "docs/flow.md", "docs/schedules.md")

_MODULE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


@contextmanager
def running_system(folder: Path, page: str) -> Iterator[Terminal]:
    """Run everything in `folder` with the handlers that a page shows; yield a terminal to type its commands into."""
    modules = dict(_MODULE.findall(page))
    for name, source in modules.items():
        (folder / name).write_text(source)
    # Where `make` puts the environment, and where the README's tour finds its photograph.
    (folder / ".venv").symlink_to(sys.prefix)
    mail_port = free_port()
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SERVER_HOST": "127.0.0.1", "SERVER_PORT": "0", "WEB_CONCURRENCY": "1", "WORKER_CONCURRENCY": "2",
        "SMTP_URL": f"smtp://127.0.0.1:{mail_port}",
        "GOPHER_HANDLERS": ",".join(["gopher.handlers", *(name.removesuffix(".py") for name in modules)]),
    }  # fmt: skip
    environ.pop("REDIS_URL", None)
    (folder / "mail").mkdir()
    mail = [sys.executable, "-P", "-m", "gopher.cli.demo_mail", str(mail_port), str(folder / "mail")]
    with _process(mail, folder, environ) as sink, _process(gopherctl("up"), folder, environ) as up:
        wait_until(lambda: "mail server on" in sink.read_text(), 20, "the mail server")
        ready = wait_until(lambda: re.search(r"ready: (http://\S+) ", up.read_text()), 30, f"`up`: {up.read_text()}")
        environ["REDIS_URL"] = f"unix://{folder}/.gopher/server.sock"
        yield Terminal(folder, ready[1], environ)


@contextmanager
def _process(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[Path]:
    """Run a process for as long as a `with` lasts; yield the file with what it says."""
    log = folder / f"{command[-1]}.log" if "demo_mail" not in command[3] else folder / "mail.log"
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

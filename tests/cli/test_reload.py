"""The development loop: `--reload`, `--no-web`, and modules that can't be found."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from gopher.cli.processes import gopherctl

from gopher.client import Client
from tests.cli.conftest import Run
from tests.helpers import wait_until

HANDLERS = """\
import os
import time
from gopher import handler

@handler("version")
def version(job, payload):
    "Returns the version of the code."
    return {version}

@handler("slow")
def slow(job, payload):
    "Takes until it may end."
    job.log("started")
    while not os.path.exists("end"):
        time.sleep(0.01)
    return {version}
"""


def write(folder: Path, version: int) -> None:
    # At once: a worker may start at any moment, and shall not find half of it.
    written = folder / "jobs.new"
    written.write_text(HANDLERS.format(version=version))
    written.replace(folder / "jobs.py")


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("wb") as log:
            more = {"WORKER_CONCURRENCY": "1", "SERVER_PORT": "0", "WEB_CONCURRENCY": "1"}
            started.append(
                subprocess.Popen(
                    gopherctl(*arguments),
                    cwd=tmp_path,
                    env={**environ, **more},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def result(client: Client, job_type: str, wait: float = 120) -> object:
    job = client.wait(client.enqueue(job_type, {}), wait)
    assert job.status == "completed", job
    return msgspec.json.decode(job.result)


@pytest.mark.deep
@pytest.mark.parametrize("command", [("worker",), ("up", "--no-web")])
def test_a_changed_file_restarts_the_worker_once_its_job_has_finished(
    command: tuple[str, ...], start: Callable[..., "subprocess.Popen[bytes]"], client: Client, tmp_path: Path
) -> None:
    write(tmp_path, 1)
    process = start(*command, "--handlers", "jobs", "--reload")
    assert result(client, "version") == 1
    running = client.enqueue("slow", {})
    wait_until(lambda: client.logs(running), what="the handler to say that it has started")
    wait_until(partial(_noticed, tmp_path), what="the change to be noticed")
    # Else the old worker might begin the next job.
    wait_until(lambda: re.search(rb"stopping .*running=1", (tmp_path / "log").read_bytes()), what="the worker to stop")
    (tmp_path / "end").touch()
    assert result(client, "version") == 2
    finished = client.job(running)
    assert (finished.status, finished.attempts, bytes(finished.result)) == ("completed", 1, b"1")
    (tmp_path / "jobs.py").write_text("import nowhere\n")
    wait_until(lambda: b"it starts again once a file changes" in (tmp_path / "log").read_bytes())
    write(tmp_path, 3)
    assert result(client, "version") == 3
    process.terminate()
    assert process.wait(120) == 0


def _noticed(folder: Path) -> bool:
    """Change the file unless that was done within two seconds: the watching process may not have begun by then."""
    file = folder / "jobs.py"
    if "return 2" not in file.read_text() or time.time() - file.stat().st_mtime > 2:
        write(folder, 2)
    return b"jobs.py changed" in (folder / "log").read_bytes()


@pytest.mark.parametrize("command", ["worker", "up", "web", "scheduler"])
def test_a_misspelt_module_is_one_sentence_with_similar_names(run: Run, command: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("")
    answer = run(command, "--handlers", "jbos", SERVER_PORT="0")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err == (
        f"Error: GOPHER_HANDLERS: there is no module 'jbos': looked in the current folder ({tmp_path}) and the "
        "installed packages. Did you mean 'jobs'?\n"
    )


def without(library: str, *arguments: str) -> str:
    """Return code that runs `gopherctl` where a library seems to be missing, as without its extra."""
    return (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *more: None if name == {library!r} else find(name, *more)\n"
        f"from gopher.cli import main; sys.exit(main.run({list(arguments)}))"
    )


@pytest.mark.parametrize(
    ("library", "arguments", "says"),
    [
        (
            "watchfiles",
            ["worker", "--reload"],
            "--reload needs watchfiles, which is not installed: pip install 'gopherctl[dev]'",
        ),
        ("flask", ["up"], "gopherctl up needs flask, which is not installed: pip install 'gopherctl[web]'"),
        # It gets as far as the handlers.
        ("flask", ["up", "--no-web", "--handlers", "jbos"], "GOPHER_HANDLERS: there is no module 'jbos'"),
    ],
)
def test_a_command_says_what_to_install_if_it_needs_the_library(
    environ: dict[str, str], tmp_path: Path, library: str, arguments: list[str], says: str
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", without(library, *arguments)],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr.startswith(f"Error: {says}")

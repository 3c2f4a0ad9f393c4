"""Real `gopherctl` processes against the real server, in a key space of their own."""

import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gopher.cli.processes import gopherctl

from gopher.client import Client
from tests.seeding import SeedingWorker
from tests.worker.nursery import Raised, can_raise


@dataclass
class Answer:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture
def environ(redis_url: str, namespace: str) -> dict[str, str]:
    return {**os.environ, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace}


@pytest.fixture
def run(environ: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run one command to its end, in an empty folder and without a terminal."""
    streams = tmp_path_factory.mktemp("streams")

    def _run(*arguments: str, stdin: str = "", **more: str) -> Answer:
        variables = {**environ, **more}
        if not can_raise(more):
            done = subprocess.run(
                gopherctl(*arguments), input=stdin, env=variables, cwd=tmp_path, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            return Answer(done.returncode, done.stdout, done.stderr)
        typed, out, err = (streams / name for name in ("in", "out", "err"))
        typed.write_text(stdin)
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)
        command = Raised(
            "gopher.cli", variables, tmp_path, out, arguments=arguments, stdin=typed, err=err, safe_path=True
        )
        return Answer(command.wait(120), out.read_text(), err.read_text())

    return _run


def answer_on_a_terminal(environ: dict[str, str], answer: str, *arguments: str) -> Answer:
    """Run a command on a terminal of its own and type an answer; `out` is all that the terminal showed."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(gopherctl(*arguments), env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
    finally:
        os.close(ours)
    return Answer(process.wait(60), shown, "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        # So says Linux when nobody has the other end open any more.
        return b""


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as made:
        yield made


@pytest.fixture
def worker(client: Client) -> SeedingWorker:
    return SeedingWorker(client)


@pytest.fixture
def background(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Raised]]:
    """Start commands that run on; whatever is left of them at the end is killed."""
    started: list[Raised] = []

    def _start(*arguments: str, **more: str) -> Raised:
        log = tmp_path / f"log-{len(started)}"
        started.append(Raised("gopher.cli", {**environ, **more}, tmp_path, log, arguments=arguments, safe_path=True))
        return started[-1]

    yield _start
    for each in started:
        each.kill()
        each.wait()

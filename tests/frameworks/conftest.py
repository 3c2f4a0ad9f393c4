"""Projects of web frameworks with a real PostgreSQL. All of these tests are deep ones."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gopher.client import Client
from tests.worker.processes import QUICK, ROOT, Process

#: Frameworks in other versions than the environment's, kept between runs.
_KEPT = ROOT / ".venv" / "frameworks"


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    from .postgres import Postgres

    # Not pytest's own folder: its path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="gopher-pg-"))
    running = Postgres(folder)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)


def overlay(name: str, *requirements: str) -> Path:
    """Return a folder for PYTHONPATH with packages that replace the environment's."""
    place = _KEPT / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    if not place.exists():
        unfinished = place.with_name(f"{place.name}-{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", unfinished]
        try:
            done = subprocess.run([*command, *requirements], check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place


class Project:
    """A project in a folder, with the environment in which it runs."""

    def __init__(self, root: Path, client: Client, folder: Path, paths: tuple[Path, ...] = (), **environ: str) -> None:
        self.root, self.client, self._folder = root, client, folder
        quick = {name: value for name, value in QUICK.items() if name != "GOPHER_HANDLERS"}
        self.environ = {
            **quick,
            # There is no scheduler: the worker promotes what is due once per lease.
            "WORKER_LEASE": "3s",
            "SHOP_REDIS_URL": client.settings.redis_url,
            "SHOP_NAMESPACE": client.settings.namespace,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            **environ,
        }

    def run(self, *command: str, fails: bool = False, **environ: str) -> str:
        """Run a Python program of the project; return what it prints."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env={**os.environ, **self.environ, **environ},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def answer(self, *command: str) -> object:
        return json.loads(self.run(*command).splitlines()[-1])

    @contextmanager
    def running(self, *command: str, ends: int = 0, **environ: str) -> Iterator[Process]:
        """Run a process of the project within the block; it `ends` with an exit code."""
        process = Process("project", {**self.environ, **environ}, self._folder, command=command, cwd=self.root)
        try:
            yield process
            assert process.stop(120) == ends
        except BaseException:
            sys.stdout.write(process.log)
            raise
        finally:
            process.destroy()

    def outcomes(self, jobs: list[str], timeout: float = 60) -> list[tuple[str, int]]:
        """Wait for jobs; return the status and the number of attempts of each."""
        views = [self.client.wait(job, timeout) for job in jobs]
        return [(view.status, view.attempts) for view in views]

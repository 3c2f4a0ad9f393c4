"""Real worker and scheduler processes for tests: started, watched, and stopped with all that they have started."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.jobs.models import JobView, WorkerView
from tests.helpers import wait_until
from tests.starting import start_process
from tests.worker.nursery import ROOT, Raised, can_raise

#: What makes waits short. Each test adds its own.
QUICK = {
    "GOPHER_HANDLERS": "tests.monsters",
    "WORKER_CONCURRENCY": "2",
    # A child on a busy machine needs time to react before it counts as one that does not.
    "WORKER_KILL_GRACE": "1500ms",
    "WORKER_MAX_CRASHES": "1",
    "WORKER_SHUTDOWN_TIMEOUT": "10s",
    "LOG_FORMAT": "json",
}


class Process:
    """`python -m gopher.<part>`, leader of a session that all of its descendants belong to.

    `inside` is a command that runs it in namespaces of its own: `ip netns exec NAME`, `unshare --pid ...`. `python` is
    that of an environment with another release. `command` is run instead, in the folder `cwd`. All others are
    forks, which need not import Gopher again, see `nursery`.
    """

    def __init__(
        self,
        part: str,
        environ: Mapping[str, str],
        folder: Path,
        inside: Sequence[str] = (),
        python: str | Path = sys.executable,
        command: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> None:
        self.part, self.folder = part, folder
        self._log = folder / f"{part}-{len(list(folder.glob('*.log')))}.log"
        # Handlers of the tests are found, and nothing that the caller's environment says of Gopher counts.
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        if "PROMETHEUS_MULTIPROC_DIR" not in environ:
            # Of an application in this process.
            variables.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self._popen: subprocess.Popen[bytes] | Raised
        if not (inside or command or cwd) and python == sys.executable and can_raise(environ):
            self._popen = Raised(f"gopher.{part}", variables, folder, self._log)
        else:
            words = [*inside, *(command or (str(python), "-m", f"gopher.{part}"))]
            self._popen = start_process(words, self._log, cwd=cwd or folder, env=variables)
        self.pid = self._popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            os.kill(self.pid, number)

    def wait(self, timeout: float = 60.0) -> int:
        """Return the exit code; negative for a signal. What it said is shown where a test fails."""
        try:
            code = self._popen.wait(timeout)
            sys.stdout.write(self.log)
            return code
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the {self.part} has not ended after {timeout:g} s; it says:\n{self.log}") from None

    def stop(self, timeout: float = 60.0) -> int:
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def children(self) -> list[int]:
        """Return the pids of the direct children that are alive."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children()
            return sorted(child.pid for child in children if _state(child.pid) not in ("Z", ""))
        return []

    def session(self) -> list[int]:
        """Return the pids of all that live in its session: itself first, children, and what handlers have started."""
        pids = [pid for pid in psutil.pids() if _session_of(pid) == self.pid and _state(pid) not in ("Z", "X", "")]
        # Pids start again at low ones at some time: children may have lower ones.
        return sorted(pids, key=lambda pid: (pid != self.pid, pid))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def destroy(self) -> None:
        """Kill everything that is left of it."""
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()


class Worker(Process):
    """A worker that is ready when it is made."""

    def __init__(self, client: Client, folder: Path, **environ: str) -> None:
        super().__init__("worker", {**where(client), **QUICK, **environ}, folder)
        self.client = client
        wait_until(self._is_there, 120.0, "the worker to show itself")

    def view(self) -> WorkerView | None:
        """Return what the worker tells of itself now."""
        return next((view for view in self.client.workers() if view.pid == self.pid), None)

    def _is_there(self) -> Any:
        assert self.running, f"the worker ended at once:\n{self.log}"
        view = self.view()
        return view and len(view.children) >= 1


class Scheduler(Process):
    """A scheduler that is ready when it is made."""

    def __init__(self, client: Client, folder: Path, **environ: str) -> None:
        super().__init__("scheduler", {**where(client), "LOG_FORMAT": "json", **environ}, folder)
        wait_until(lambda: self.running and "scheduler started" in self.log, 60.0, "the scheduler to start")


def patient_client(url: str, namespace: str | None = None) -> Client:
    """Return a client of a test, which waits for as long as a server may have no processor."""
    return Client(settings=replace(Settings.for_client(url, namespace=namespace), redis_timeout=30.0))


def where(client: Client) -> dict[str, str]:
    """Return the variables that lead a process to the same server and key space."""
    return {"REDIS_URL": client.settings.redis_url, "GOPHER_NAMESPACE": client.settings.namespace}


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _state(pid: int) -> str:
    return next(iter(_stat(pid)), "")


def _session_of(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[3]) if len(fields) > 3 else -1


def error_of(job: JobView) -> dict[str, Any]:
    """Return a job's error, {} when it has none."""
    return msgspec.json.decode(job.error) if job.error else {}


def result_of(job: JobView) -> Any:
    return msgspec.json.decode(job.result)

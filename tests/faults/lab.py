"""The real system as processes: a server of its own, the API by gunicorn, workers, a scheduler. All of them can be
killed, frozen and started again; what runs is found by pid.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from gopher.base.states import ENDED
from gopher.client import Client
from gopher.queue.invariants import findings
from gopher.server.embedded import EmbeddedServer
from tests.faults.audit import Audit, audit, save
from tests.faults.ledger import VARIABLE, Entry, read
from tests.faults.proxy import Proxy
from tests.helpers import free_port, wait_until
from tests.worker.processes import Process, patient_client

#: What the short form runs with. The long one has a lease of 10 s.
SHORT_LEASE = "3s"
QUEUE = "default"


class System:
    """A running system; a context manager. With `proxied` everything reaches the server through a fault proxy."""

    def __init__(
        self,
        *,
        workers: int = 2,
        children: int = 4,
        api: int = 2,
        schedulers: int = 1,
        lease: str = SHORT_LEASE,
        proxied: bool = False,
        seed: int = 1,
        options: dict[str, str] | None = None,
        program: Path | None = None,
        **environ: str,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-lab-"))
        self.ledger = self.folder / "ledger"
        self.random = random.Random(seed)
        self.server = EmbeddedServer(self.folder / "server", options=options, program=program)
        self.proxy: Proxy | None = None
        self.client: Client
        self.port = free_port()
        self.workers: list[Process] = []
        self.schedulers: list[Process] = []
        self.api: Process | None = None
        #: Children of each worker.
        self.concurrency = children
        self._wanted = (workers, schedulers, api)
        self._proxied, self._seed = proxied, seed
        self._environ = {
            "GOPHER_HANDLERS": "tests.faults.handlers",
            "WORKER_CONCURRENCY": str(children),
            "WORKER_LEASE": lease,
            "WORKER_KILL_GRACE": "300ms",
            "LOG_FORMAT": "json",
            "SERVER_HOST": "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "WEB_CONCURRENCY": str(max(api, 1)),
            VARIABLE: str(self.ledger),
            **environ,
        }

    def __enter__(self) -> "System":
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc: object) -> None:
        for process in self.processes():
            process.destroy()
        if hasattr(self, "client"):
            self.client.close()
        if self.proxy:
            self.proxy.close()
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> "System":
        self.server.start()
        self.client = patient_client(self.server.url)
        if self._proxied:
            self.proxy = Proxy(self.folder, self.server.socket_path, seed=self._seed)
        workers, schedulers, api = self._wanted
        if api:
            self.api = self._process("app")
        self.workers = [self._process("worker") for _ in range(workers)]
        self.schedulers = [self._process("scheduler") for _ in range(schedulers)]
        wait_until(self.complete, 120, "the system to be complete")
        return self

    @property
    def url(self) -> str:
        """What leads the parts of the system to the server."""
        return self.proxy.url if self.proxy else self.server.url

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[Process]:
        return [*self.workers, *self.schedulers, *([self.api] if self.api else [])]

    def complete(self) -> bool:
        """Return whether every part is there and has said so in the server."""
        _, schedulers, api = self._wanted
        for process in self.processes():
            assert process.running, f"the {process.part} has ended:\n{process.log}"
        views = {view.pid for view in self.client.workers() if view.children}
        return (
            {worker.pid for worker in self.workers} <= views
            and self.client.inspector.schedulers() >= schedulers
            and (not api or len(self.api_workers()) == api)
        )

    # Parts, by pid

    def api_workers(self) -> list[int]:
        return self.api.children() if self.api else []

    def children(self) -> list[int]:
        return [pid for worker in self.workers for pid in worker.children()]

    def start_worker(self) -> Process:
        """Start one more, and do not wait until it is there."""
        self.workers.append(self._process("worker"))
        return self.workers[-1]

    def restart_worker(self, dead: Process) -> None:
        """Start a worker in the place of one that has died, as whoever runs it would."""
        dead.destroy()
        self.workers[self.workers.index(dead)] = self._process("worker")

    def restart_scheduler(self, dead: Process) -> None:
        dead.destroy()
        self.schedulers[self.schedulers.index(dead)] = self._process("scheduler")

    def _process(self, part: str) -> Process:
        return Process(part, {**self._environ, "REDIS_URL": self.url}, self.folder)

    # What has become of jobs

    def states(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the state of each job; None where nothing is known of it."""
        keys = self.client.server.keys.for_queue(QUEUE)
        pipe = self.client.server.client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hget(keys.job(job_id), "state")
        return {job_id: state and state.decode() for job_id, state in zip(ids, pipe.execute(), strict=True)}

    def unfinished(self, ids: Sequence[str]) -> int:
        return sum(state not in ENDED for state in self.states(ids).values())

    def wait(self, ids: Sequence[str], timeout: float) -> float:
        """Wait until all jobs have ended; return for how long (s)."""
        began = time.monotonic()
        wait_until(lambda: not self.unfinished(ids), timeout, f"{len(ids)} jobs to end")
        return time.monotonic() - began

    def events(self) -> list[Entry]:
        return read(self.ledger)

    def audit(self, accepted: Sequence[tuple[str, str]], *, ours: bool = True) -> Audit:
        """Compare what was acknowledged, (number, id) pairs, with the ledger and the states."""
        states = self.states([job_id for _, job_id in accepted])
        save(self.folder, accepted, states)
        return audit(accepted, states, self.events(), ours=ours)

    def findings(self) -> list[str]:
        """Return which invariants of the queue do not hold.

        It is read in several calls: what has changed between them is not found again.
        """
        look = partial(findings, self.client.server.client, self.client.server.keys.for_queue(QUEUE))
        return look() and look()

    def totals(self, event: str) -> int:
        """Return a counter of the queue: `completed`, `stale`, `rescued` ..."""
        found = self.client.inspector.totals(QUEUE)
        return sum(count for field, count in found.items() if field.partition(":")[0] == event)

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def warnings(self) -> list[str]:
        """Return the lines of the logs that tell what went wrong, oldest first for each process."""
        return [line for line in self.logs().splitlines() if '"level":"info"' not in line.replace(" ", "")]


def kill(pid: int) -> bool:
    """Kill with SIGKILL; return whether there was somebody to kill."""
    return _signal(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Return whether a process is there and is no zombie of the system's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def freeze(process: Process) -> tuple[int, list[int]]:
    """Stop a worker and all of its children, as a paused machine would; return the supervisor and the children."""
    supervisor = process.pid
    _signal(supervisor, signal.SIGSTOP)
    children = process.children()
    for pid in children:
        _signal(pid, signal.SIGSTOP)
    return supervisor, children


def thaw(pids: Sequence[int]) -> None:
    for pid in pids:
        _signal(pid, signal.SIGCONT)


def rests(pid: int) -> bool:
    """Return whether a process waits for something, not just for its turn on a busy machine, three times in a row."""
    for _ in range(3):
        if psutil.Process(pid).status() != psutil.STATUS_SLEEPING:
            return False
        time.sleep(0.02)
    return True


def recovery(condition: Callable[[], object], timeout: float, what: str) -> float:
    """Return how long it took until a condition held (s)."""
    began = time.monotonic()
    wait_until(condition, timeout, what)
    return time.monotonic() - began


def _signal(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False

"""`python -m benchmarks.packing`: 40 jobs of 100 to 400 MB on a worker with 1 GB, with admission by memory and without.

The worker is in a control group with that limit if one can be made (as root, where /sys/fs/cgroup is writable), so that
the kernel kills what is too much. Prints how many jobs were killed, the most memory in use, and the wall time beside
that of an ideal packing, which is computed afterwards from what each job has used. SECONDS (2) is how long a job takes
at most; LEARN=0 begins with types of which nothing is known.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from gopher.client import Client
from gopher.jobs.models import JobView
from gopher.server.embedded import EmbeddedServer

from .hungry import SIZES

_LIMIT, _CHILDREN, _JOBS = 10**9, 10, 40
_GROUPS = Path("/sys/fs/cgroup")


def main() -> int:
    seconds, learn = float(os.environ.get("SECONDS", "2")), os.environ.get("LEARN", "1") == "1"
    folder = Path(tempfile.mkdtemp(prefix="gopher-packing-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}) as server:
            for setting in os.environ.get("ONLY", "auto,off").split(","):
                with Client(server.url, namespace=f"packing-{setting}") as client:
                    _run(client, server.url, setting, seconds, learn=learn)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _run(client: Client, url: str, setting: str, seconds: float, *, learn: bool) -> None:
    with _group() as group:
        memory = str(_LIMIT) if setting == "auto" and group is None else setting
        environ = {
            **os.environ,
            "REDIS_URL": url,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "GOPHER_NAMESPACE": f"packing-{setting}",
            "GOPHER_HANDLERS": "benchmarks.hungry",
            "WORKER_CONCURRENCY": str(_CHILDREN),
            "WORKER_MEMORY": memory,
            "WORKER_MAX_MEMORY_PER_CHILD": "off",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "error"),
        }
        commands = [[sys.executable, "-P", "-m", f"gopher.{part}"] for part in ("worker", "scheduler")]
        if group is not None:
            commands[0] = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *commands[0]]
        processes = [subprocess.Popen(command, env=environ) for command in commands]
        try:
            if learn:
                # As an installation knows its types: a job of each has run before.
                for size in SIZES:
                    _wait(client, client.enqueue_many(_job(size, 0.1) for _ in range(5)))
            watch = _Watch(processes[0].pid)
            random.seed(1)
            jobs = [_job(size, random.uniform(0.5, 1) * seconds) for size in SIZES for _ in range(_JOBS // len(SIZES))]
            random.shuffle(jobs)
            began = time.monotonic()
            ids = client.enqueue_many(jobs)
            _wait(client, ids)
            lasted = time.monotonic() - began
            _report(client, ids, setting, lasted, watch.stop(), group)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def _job(size: int, seconds: float) -> dict[str, object]:
    megabytes = round(size * random.uniform(0.95, 1.05))
    return {"type": f"hungry_{size}", "payload": {"megabytes": megabytes, "seconds": seconds}}


def _wait(client: Client, ids: Sequence[str]) -> None:
    for job_id in ids:
        client.wait(job_id, 600)


class _Watch:
    """The proportional memory of a process and its children, as often as it can be read."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._is_over = pid, 0, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the most bytes."""
        self._is_over = True
        self._thread.join()
        return self._most

    def _run(self) -> None:
        while not self._is_over:
            try:
                every = [self._pid, *(child.pid for child in psutil.Process(self._pid).children(recursive=True))]
            except psutil.NoSuchProcess:
                return
            self._most = max(self._most, sum(map(_proportional, every)))
            time.sleep(0.05)


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def _report(client: Client, ids: Sequence[str], setting: str, lasted: float, most: int, group: Path | None) -> None:
    views = [client.job(job_id) for job_id in ids]
    crashes = [row for view in views for row in view.history if row.outcome == "crashed"]
    ended = [view for view in views if view.status == "completed"]
    loads = [(_megabytes(view) * 10**6, view.history[-1].duration or 0.0) for view in ended]
    print(f"WORKER_MEMORY={setting}: {len(ended)} of {len(ids)} completed, {len(crashes)} attempts killed")
    for text in sorted({str(row.error["message"]) for row in crashes if row.error}):
        print(f"  {text}")
    ideal = packed(loads, _LIMIT)
    bound = max(sum(size * seconds for size, seconds in loads) / _LIMIT, max((each for _, each in loads), default=0))
    print(
        f"  most in use {most / 1e6:.0f} MB, {lasted:.1f} s; ideal packing {ideal:.1f} s, ratio {lasted / ideal:.2f};"
        f" no packing is faster than {bound:.1f} s"
    )
    if group is not None:
        print(f"  the group: {(group / 'memory.oom_control').read_text().split()}")


def _megabytes(view: JobView) -> int:
    return int(msgspec.json.decode(view.payload)["megabytes"])


def packed(loads: Sequence[tuple[int, float]], limit: int) -> float:
    """Return the wall time of the best of some packings, all of which know every job in advance."""
    orders = [
        lambda load: -load[0],
        lambda load: -load[1],
        lambda load: -load[0] * load[1],
    ]
    tries = [sorted(loads, key=order) for order in orders]
    tries += [random.sample(list(loads), len(loads)) for _ in range(200)]
    return min(_greedy(each, limit) for each in tries)


def _greedy(loads: Sequence[tuple[int, float]], limit: int) -> float:
    """Return the wall time if at each moment the first jobs that fit are started."""
    waiting, running, now, used = list(loads), list[tuple[float, int]](), 0.0, 0
    while waiting or running:
        for load in list(waiting):
            if used + load[0] <= limit and len(running) < _CHILDREN:
                waiting.remove(load)
                running.append((now + load[1], load[0]))
                used += load[0]
        running.sort()
        now, size = running.pop(0)
        used -= size
    return now


@contextmanager
def _group() -> Iterator[Path | None]:
    """Make a control group with the limit; None where that is not possible."""
    own = next(
        (line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), None
    )
    if own is None or os.environ.get("GROUP") == "0":
        yield None
        return
    group = _GROUPS / "memory" / own.strip("/") / f"packing-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(_LIMIT))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


if __name__ == "__main__":
    sys.exit(main())

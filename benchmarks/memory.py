"""Measures the memory of processes, for the table of sizes in docs/deployment.md: `python -m benchmarks.memory`.

What counts is what a container is charged for: the proportional share of the memory of all its processes (PSS), and
their program and library files once, whatever other processes use them too.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from gopher.client import Client
from gopher.server.embedded import EmbeddedServer

#: Jobs before a measurement: children that have run nothing yet share more.
_JOBS = 100
_PAYLOAD = {"operation": "prime", "number": 104_729}
_SETTLED = 2.0
_MIB = 2**10


def charged(pid: int) -> float:
    """Return the memory of a process and its descendants in MiB."""
    files: dict[str, int] = defaultdict(int)
    own = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        rollup = dict(_sizes(f"/proc/{process.pid}/smaps_rollup"))
        own += rollup["Pss_Anon"] + rollup["Pss_Shmem"]
        of_process: dict[str, int] = defaultdict(int)
        name = ""
        for line in Path(f"/proc/{process.pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                name = words[5] if len(words) > 5 and words[5].startswith("/") else ""
            elif name and words[0] in ("Rss:", "Anonymous:"):
                # What was written of a file's mapping is private.
                of_process[name] += int(words[1]) * (1 if words[0] == "Rss:" else -1)
        for each, size in of_process.items():
            files[each] = max(files[each], size)
    return (own + sum(files.values())) / _MIB


def _sizes(path: str) -> Iterator[tuple[str, int]]:
    for line in Path(path).read_text().splitlines()[1:]:
        name, size, _ = line.split()
        yield name.removesuffix(":"), int(size)


@contextmanager
def running(part: str, url: str, **environ: str) -> Iterator[int]:
    """Run a part of Gopher; yield its pid."""
    given = {**os.environ, "REDIS_URL": url, "LOG_LEVEL": "error", "SERVER_PORT": "0", **environ}
    process = subprocess.Popen([sys.executable, "-P", "-m", f"gopher.{part}"], env=given, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def measure(client: Client, url: str) -> None:
    for children in (1, 2, 5, 10):
        with running("worker", url, WORKER_CONCURRENCY=str(children)) as pid:
            for _ in range(2):
                ids = client.enqueue_many([{"type": "math", "payload": _PAYLOAD}] * (_JOBS // 2))
                for job_id in ids[-20:]:
                    client.wait(job_id, 120)
            time.sleep(_SETTLED)
            _say(f"worker, {children} children", pid)
    with running("scheduler", url) as pid:
        time.sleep(5 * _SETTLED)
        _say("scheduler", pid)
    for processes in (1, 2, 4):
        port = str(20_000 + os.getpid() % 10_000 + processes)
        with running("app", url, WEB_CONCURRENCY=str(processes), SERVER_PORT=port) as pid:
            time.sleep(5 * _SETTLED)
            _visit(f"http://127.0.0.1:{port}")
            time.sleep(_SETTLED)
            _say(f"web, {processes} processes", pid)


def _visit(url: str) -> None:
    from urllib.request import urlopen

    for _ in range(_JOBS):
        for path in ("/api/v1/jobs", "/dashboard", "/metrics", "/openapi.json"):
            with urlopen(url + path, timeout=30) as answer:
                answer.read()


def _say(what: str, pid: int) -> None:
    print(f"{what}: {charged(pid):.0f} MiB", flush=True)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gopher-memory-") as folder,
        EmbeddedServer(Path(folder)) as server,
        Client(server.url) as client,
    ):
        measure(client, server.url)


if __name__ == "__main__":
    main()

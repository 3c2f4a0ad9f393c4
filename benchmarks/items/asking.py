"""Submissions over HTTP: one by one and in batches, beside a bare Flask view with one LPUSH, same gunicorn."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders import PEERS, Contender
from benchmarks.lab import Lab, Stuck, free_port, lab
from benchmarks.load import CONNECTIONS

from . import Figure, Item, gopher_only

BATCH = 1000
#: Seconds that gunicorn's processes may need until they answer.
LOADING = 20.0
JOB = {"type": "noop", "payload": {"x": "y" * 92}}
ROOT = Path(__file__).parent.parent.parent


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    single, batch = json.dumps(JOB).encode(), json.dumps({"jobs": [JOB] * BATCH}).encode()
    with lab(contender) as made:
        with _gunicorn(made, "benchmarks.flask_views:app") as port:
            empty = _rate(port, "/empty", single, seconds)
        with _gunicorn(made, "gopher.app.wsgi:app") as port:
            one = _rate(port, "/api/v1/jobs", single, seconds)
            many = _rate(port, "/api/v1/jobs/batch", batch, seconds, 2) * BATCH
    return {
        "empty view": empty,
        "HTTP one by one": one,
        "HTTP batches": many,
        "one by one/empty view": one / empty,
        "batches/one by one": many / one,
    }


def _rate(port: int, path: str, body: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    def ask(how_long: float) -> float:
        command = [sys.executable, "-m", "benchmarks.load", str(port), path, str(how_long), str(connections)]
        done = subprocess.run(command, input=body, capture_output=True, cwd=ROOT, check=False)
        if done.returncode:
            raise Stuck(f"{path}: {done.stderr.decode()[-300:]}")
        return float(done.stdout)

    # gunicorn listens before its processes have loaded the app.
    deadline = time.monotonic() + LOADING
    while not ask(0.3):
        if time.monotonic() > deadline:
            raise Stuck(f"{path} does not answer")
    ask(0.5)
    return ask(seconds)


@contextmanager
def _gunicorn(made: Lab, app: str) -> Iterator[int]:
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if name != "PORT"} | {
        "REDIS_URL": made.url,
        "SERVER_PORT": str(port),
        "GOPHER_HANDLERS": "gopher_jobs",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PEERS), os.environ.get("PYTHONPATH")))),
        "LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "python:gopher.app.gunicorn_conf", app]
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Stuck("gunicorn does not listen")


ITEM = Item(
    "http",
    (
        Figure("empty view", "requests/s", "more"),
        Figure("HTTP one by one", "jobs/s", "more"),
        Figure("HTTP batches", "jobs/s", "more"),
        Figure("one by one/empty view", "ratio", "more"),
        Figure("batches/one by one", "ratio", "more"),
    ),
    gopher_only,
    measure,
)

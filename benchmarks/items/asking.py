"""Submissions over HTTP, one by one and in batches, next to an empty Flask view with one LPUSH under the same gunicorn.

Both gunicorns run all the time and are measured in short, interleaved turns, because the machine's speed changes
within a second. With turns of half a second the same code had 0.6 to 1.0 of the empty view's rate, with a fifth of
one 0.79 to 0.84.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.contenders import PEERS, Contender
from benchmarks.lab import START_TIMEOUT, Lab, Stuck, free_port, lab
from benchmarks.load import CONNECTIONS
from benchmarks.numbers import Spread, ratios, spread

from . import Figure, Item, alone, gopher_only

BATCH = 1000
#: Turns of each.
TURNS = 21
JOB = {"type": "noop", "payload": {"x": "y" * 92}}
ROOT = Path(__file__).parent.parent.parent


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    single, batch = json.dumps(JOB).encode(), json.dumps({"jobs": [JOB] * BATCH}).encode()
    with (
        lab(contender) as made,
        _gunicorn(made, "benchmarks.flask_views:app") as bare,
        _gunicorn(made, "gopher.app.wsgi:app") as ours,
    ):
        asked = {
            "empty view": partial(_rate, bare, "/empty", single),
            "HTTP one by one": partial(_rate, ours, "/api/v1/jobs", single),
            "HTTP batches": partial(_rate, ours, "/api/v1/jobs/batch", batch, connections=2),
        }
        for ask in asked.values():
            _warm(ask)
        turns = [{name: ask(seconds / 5) for name, ask in asked.items()} for _ in range(TURNS)]
    return _figures({name: [turn[name] for turn in turns] for name in asked})


def _figures(rates: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians of all slices, and of their ratios."""
    empty, one = rates["empty view"], rates["HTTP one by one"]
    many = [rate * BATCH for rate in rates["HTTP batches"]]
    found: dict[str, Spread] = {
        "empty view": spread(empty),
        "HTTP one by one": spread(one),
        "HTTP batches": spread(many),
        "HTTP one by one/empty view": ratios(one, empty),
        "HTTP batches/one by one": ratios(many, one),
    }
    return {name: each.median for name, each in found.items()}


def _warm(ask: Callable[[float], float]) -> None:
    """Wait for the first response (gunicorn listens before its processes have loaded the app), then a little longer."""
    ask(0.3)
    ask(0.5)


def _rate(port: int, path: str, body: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    command = [sys.executable, "-m", "benchmarks.load", str(port), path, str(seconds), str(connections)]
    done = subprocess.run(command, input=body, capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        raise Stuck(f"{path}: {done.stderr.decode()[-300:]}")
    return float(done.stdout)


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
    deadline = time.monotonic() + START_TIMEOUT
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
        Figure("HTTP one by one/empty view", "ratio", "more"),
        Figure("HTTP batches/one by one", "ratio", "more"),
    ),
    gopher_only,
    alone(measure),
)

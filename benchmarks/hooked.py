"""`python -m benchmarks.hooked`: what a thousand webhook events a second cost the jobs that they tell of.

Submits RATE (1000) jobs a second for SECONDS (10) that only note how long they have waited: without a webhook, with one
of which nothing is delivered, and with one whose receiver is on this machine, with a worker for the deliveries. Prints
the waits in ms and how many deliveries a second were made. The receiver is in this process, and shares the cores.
"""

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gopher import Job, handler
from gopher.client import Client
from gopher.server.embedded import EmbeddedServer

from .lab import free_port, parts
from .server import program

_OF_A_CALL, _OPTIONS = 20, {"appendonly": "no"}
_FOLDER = "HOOKED_FOLDER"


@handler("probe", timeout=30)
def probe(job: Job, payload: dict[str, float]) -> None:
    """Writes down for how long it has waited (ms)."""
    waited = (time.time() - payload["sent"]) * 1000
    with open(f"{os.environ[_FOLDER]}/{os.getpid()}", "a") as file:
        file.write(f"{waited}\n")


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).received += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> int:
    rate, seconds = int(os.environ.get("RATE", "1000")), float(os.environ.get("SECONDS", "10"))
    for name in ("no webhook", "a webhook, nothing delivered", "a webhook, delivered"):
        folder = Path(tempfile.mkdtemp(prefix="gopher-hooked-"))
        try:
            with (
                EmbeddedServer(folder / "server", program=program(), port=free_port(), options=_OPTIONS) as server,
                Client(server.tcp_url) as client,
                _receiver() as place,
            ):
                if name != "no webhook":
                    client.webhooks.create(url=f"http://{place}/", types=["probe"])
                print(f"{name}: {_measure(client, server.tcp_url, folder, rate, seconds, name)}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _measure(client: Client, url: str, folder: Path, rate: int, seconds: float, name: str) -> str:
    waits = folder / "waits"
    waits.mkdir()
    with _processes(url, waits, delivers=name.endswith(", delivered")):
        client.wait(client.enqueue("probe", {"sent": time.time()}), 30)
        began, used = time.perf_counter(), _spent(client)
        for number in range(int(rate * seconds / _OF_A_CALL)):
            client.enqueue_many({"type": "probe", "payload": {"sent": time.time()}} for _ in range(_OF_A_CALL))
            time.sleep(max(began + (number + 1) * _OF_A_CALL / rate - time.perf_counter(), 0))
        lasted, received = time.perf_counter() - began, _Receiver.received
        while len(found := _read(waits)) < rate * seconds:
            time.sleep(0.1)
    cuts = statistics.quantiles(found, n=20)
    return (
        f"{len(found) / lasted:.0f} jobs/s waited {cuts[9]:.1f} ms, half of them, 95 % at most {cuts[-1]:.1f} ms; "
        f"server {(_spent(client) - used) / len(found):.1f} us of scripts a job; {received / lasted:.0f} deliveries/s"
    )


def _read(waits: Path) -> list[float]:
    return [float(line) for file in waits.iterdir() for line in file.read_text().split()]


def _spent(client: Client) -> float:
    return float(client.server.client.info("commandstats")["cmdstat_evalsha"]["usec"])


@contextmanager
def _receiver() -> Iterator[str]:
    _Receiver.received = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def _processes(url: str, waits: Path, *, delivers: bool) -> Iterator[None]:
    environ = {
        "REDIS_URL": url,
        "GOPHER_HANDLERS": "benchmarks.hooked",
        "WORKER_CONCURRENCY": "2",
        "WORKER_WEBHOOKS": "0",
        _FOLDER: str(waits),
    }
    delivering = {**environ, "WORKER_QUEUES": "webhooks", "GOPHER_WEBHOOKS_ALLOW": "127.0.0.0/8"}
    with parts(environ, "worker", "scheduler"), parts(delivering, *(["worker"] if delivers else [])):
        yield


if __name__ == "__main__":
    sys.exit(main())

"""A real S3 server for the tests, SeaweedFS, which checks signatures; and access to it, also through a proxy."""

import os
import select
import shutil
import socket
import sys
import threading
import urllib.request
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import msgspec

from tests.helpers import free_ports, wait_until
from tests.starting import start_process

ACCESS_KEY, SECRET_KEY = "AKIDTESTS", "tests-of-gopher-only"
BUCKET = "gopher-tests"
#: The program of the test extra `deep`.
PROGRAM = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


class S3Server:
    """A running server with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.port, *others = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        config = folder / "s3.json"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Write", "Tagging"],
        }
        config.write_bytes(msgspec.json.encode({"identities": [identity]}))
        parts = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
        ports = list(zip((*parts, "s3.port.grpc"), others, strict=True))
        self._filer_port = dict(ports)["filer.port"]
        self._process = start_process(
            [
                str(PROGRAM), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-volume.max=20", "-master.volumeSizeLimitMB=64", "-s3", f"-s3.config={config}",
                f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                *(f"-{part}={port}" for part, port in ports),
            ],
            folder / "weed.log",
        )  # fmt: skip
        wait_until(self._answers, 60)
        wait_until(self._make_bucket, 60)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except HTTPError:
            return True
        except (URLError, OSError):
            return False
        return True

    def _make_bucket(self) -> bool:
        """Make the bucket as the folder of the store's files that it is."""
        made = urllib.request.Request(f"http://127.0.0.1:{self._filer_port}/buckets/{BUCKET}/", method="POST")
        try:
            urllib.request.urlopen(made, timeout=2).close()
        except HTTPError as error:
            # Made by a request before, whose answer took too long.
            return error.code == HTTPStatus.CONFLICT
        except (URLError, OSError):
            return False
        return True

    def environ(self, endpoint: str = "", prefix: str = "prefix") -> dict[str, str]:
        """Return the variables of a process that uses the bucket."""
        return {
            "GOPHER_STORE": f"s3://{BUCKET}/{prefix}?endpoint={endpoint or self.endpoint}&region=us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def stop(self) -> None:
        # It takes ten seconds to stop when asked to.
        self._process.kill()
        self._process.wait()


class FaultyProxy:
    """Stands before a server on a port of its own, and does to the next exchanges what is in `plans`.

    `("answer", bytes)`: answers itself; `("cut", n)`: ends the connection after n bytes of the request; `("lose",)`:
    ends it in place of the answer; `("half",)`: within the answer; `("slow", seconds)`: the answer comes late. All
    passes without a plan.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.plans: deque[tuple[Any, ...]] = deque()
        self.exchanges = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._port)) as server:
            self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        asking, sent, plan = False, 0, _PASS
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                if ready is server:
                    asking = False
                    data = _answer(plan, data)
                    client.sendall(data)
                    if plan[0] in ("lose", "half"):
                        return
                    plan = _PASS
                    continue
                if not asking:
                    asking, sent, plan = True, 0, self._next_plan()
                sent += len(data)
                if plan[0] == "answer":
                    client.sendall(plan[1])
                if plan[0] == "answer" or (plan[0] == "cut" and sent >= plan[1]):
                    return
                server.sendall(data)

    def _next_plan(self) -> tuple[Any, ...]:
        self.exchanges += 1
        return self.plans.popleft() if self.plans else _PASS


_PASS: tuple[Any, ...] = ("pass",)


def _answer(plan: tuple[Any, ...], data: bytes) -> bytes:
    """Return what comes of an answer."""
    if plan[0] == "slow":
        threading.Event().wait(plan[1])
    return {"lose": b"", "half": data[:1000]}.get(plan[0], data)


#: An answer of a server that fails.
FAILS = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

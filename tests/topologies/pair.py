"""A primary with replicas, nothing of which fails over: each can be frozen, and detached."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers import free_ports, wait_until
from tests.topologies.lab import Node


class Pair:
    """A primary and its replicas. A context manager."""

    def __init__(self, replicas: int = 1, **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-pair-"))
        ports = free_ports(1 + replicas)
        self.primary, *self.replicas = [Node(self.folder / f"node-{port}", port, **options) for port in ports]
        self.url = self.primary.server.tcp_url

    def __enter__(self) -> "Pair":
        for node in (self.primary, *self.replicas):
            node.server.start()
        self.attach()
        return self

    def __exit__(self, *exc: object) -> None:
        for node in (self.primary, *self.replicas):
            node.client.close()
            node.server.kill()
            node.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def attach(self) -> None:
        """Attach all replicas, and wait until they confirm what the primary writes."""
        for replica in self.replicas:
            replica.client.replicaof("127.0.0.1", self.primary.port)
        wait_until(self._confirmed, 20, "the replicas to confirm a write")

    def _confirmed(self) -> bool:
        self.primary.client.set("attached", 1)
        return bool(self.primary.client.wait(len(self.replicas), 500) == len(self.replicas))

    def detach(self) -> None:
        """Detach all replicas, and wait until the primary knows."""
        for replica in self.replicas:
            replica.client.replicaof("NO", "ONE")
        wait_until(
            lambda: not self.primary.client.info("replication")["connected_slaves"], 10, "the primary to have none"
        )

    @contextmanager
    def frozen_replicas(self) -> Iterator[None]:
        """Freeze the replicas: they stay connected, and confirm nothing."""
        numbers = [int(replica.client.info("server")["process_id"]) for replica in self.replicas]
        for number in numbers:
            os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            for number in numbers:
                os.kill(number, signal.SIGCONT)

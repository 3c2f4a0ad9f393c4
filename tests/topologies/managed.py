"""A server as small managed plans have it: a proxy that rejects commands, cuts idle connections and limits them.

`python -m tests.topologies.managed <server's socket> <port> <plan as JSON>` is one process; `ManagedServer` starts it.
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gopher.server.embedded import EmbeddedServer
from tests.faults.resp import Splitter, words
from tests.helpers import free_ports, wait_until

ROOT = Path(__file__).parents[2]
#: What providers block, and what they answer.
BLOCKED = (
    "ACL BGREWRITEAOF BGSAVE CLIENT CONFIG DEBUG FCALL FLUSHALL FLUSHDB FUNCTION INFO KEYS LATENCY MEMORY MODULE "
    "MONITOR REPLICAOF SAVE SHUTDOWN SLAVEOF SLOWLOG SYNC SCRIPT|FLUSH SCRIPT|KILL"
).split()
ANSWERS = {
    "renamed": "ERR unknown command '{name}', with args beginning with: ",
    "forbidden": "NOPERM User default has no permissions to run the '{lower}' command",
    "disabled": "ERR '{name}' is disabled on this plan",
}


@dataclass(frozen=True)
class Plan:
    """What a plan allows; nothing is limited by default."""

    blocked: list[str] = field(default_factory=list)
    answer: str = ANSWERS["renamed"]
    #: Seconds without traffic in either direction after which a connection is closed, also one that blocks.
    idle: float = 0.0
    #: Connections at the same time.
    connections: int = 0
    #: Commands a second; those beyond are rejected.
    quota: int = 0
    #: Seconds that each reply takes longer.
    latency: float = 0.0


class Proxy:
    """The process: forwards what the plan allows."""

    def __init__(self, server: str, plan: Plan) -> None:
        self._server, self._plan = server, plan
        self._open = 0
        self._second, self._used = 0, 0

    async def run(self, port: int) -> None:
        async with await asyncio.start_server(self._serve, "127.0.0.1", port) as listener:
            await listener.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._full and not await self._has_room_soon():
            writer.write(b"-ERR max number of clients reached\r\n")
            writer.close()
            return
        self._open += 1
        try:
            await self._forward(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    @property
    def _full(self) -> bool:
        return 0 < self._plan.connections <= self._open

    async def _has_room_soon(self) -> bool:
        # What a server does at once when a client closes a connection takes this loop several turns.
        for _ in range(20):
            await asyncio.sleep(0.01)
            if not self._full:
                return True
        return False

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        #: What the replies that are due are, in order: an answer of our own, or b"" for one of the server's.
        due: deque[bytes] = deque()
        heard = [asyncio.get_running_loop().time()]
        pumps = [
            asyncio.create_task(self._requests(reader, to_server, writer, due, heard)),
            asyncio.create_task(self._replies(from_server, writer, due, heard)),
        ]
        if self._plan.idle:
            pumps.append(asyncio.create_task(self._watch(heard)))
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_server.close()

    async def _watch(self, heard: list[float]) -> None:
        loop = asyncio.get_running_loop()
        while (left := heard[0] + self._plan.idle - loop.time()) > 0:
            await asyncio.sleep(left)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        due: deque[bytes],
        heard: list[float],
    ) -> None:
        splitter = Splitter()
        while data := await reader.read(65536):
            heard[0] = asyncio.get_running_loop().time()
            for command in splitter.feed(data):
                problem = self._problem([word.decode(errors="replace") for word in words(command)[:2]])
                due.append(problem)
                if not problem:
                    server.write(command)
            _answer(client, due)
            await server.drain()

    async def _replies(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, due: deque[bytes], heard: list[float]
    ) -> None:
        splitter = Splitter()
        while data := await reader.read(65536):
            heard[0] = asyncio.get_running_loop().time()
            if self._plan.latency:
                await asyncio.sleep(self._plan.latency)
            for reply in splitter.feed(data):
                _answer(client, due)
                due.popleft()
                client.write(reply)
            _answer(client, due)
            await client.drain()

    def _problem(self, command: list[str]) -> bytes:
        name = command[0].upper()
        if name in self._plan.blocked or "|".join(command).upper() in self._plan.blocked:
            return f"-{self._plan.answer.format(name=name, lower=name.lower())}\r\n".encode()
        now = int(asyncio.get_running_loop().time())
        self._used = self._used + 1 if now == self._second else 1
        self._second = now
        return b"-ERR max requests limit exceeded\r\n" if 0 < self._plan.quota < self._used else b""


def _answer(client: asyncio.StreamWriter, due: deque[bytes]) -> None:
    """Answer ourselves what is next in order."""
    while due and due[0]:
        client.write(due.popleft())


class ManagedServer:
    """A server behind such a proxy. A context manager."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.server = EmbeddedServer(folder)
        self.plan = plan
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "ManagedServer":
        self.server.start()
        self.set_plan(self.plan)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self.server.stop()

    def set_plan(self, plan: Plan) -> None:
        """Let a plan count from now on; all connections end."""
        self._stop()
        self.plan = plan
        command = [sys.executable, "-m", "tests.topologies.managed", str(self.server.socket_path), str(self.port)]
        self._process = subprocess.Popen([*command, json.dumps(asdict(plan))], cwd=ROOT)
        wait_until(self._listens, 60, "the proxy")

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[1], Plan(**json.loads(sys.argv[3]))).run(int(sys.argv[2])))

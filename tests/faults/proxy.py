"""A TCP proxy between Gopher and its server that knows where each command and each reply begins and ends.

`python -m tests.faults.proxy <server's socket> <control socket> <seed> <port>` is one process; `Proxy` starts and
steers it.

A *mode* holds for all traffic until the next one: `pass`, `delay` (seconds), `rate` (bytes a second), `blackhole`
(takes everything, answers nothing), `refuse` (no connection at all), `inject` (`text` instead of asking the server),
`drop` (with `probability` a reply is lost with its connection), `garbage` (with `probability`, a reply is nonsense).
A *shot* hits one command, the next that contains `match`, or the `nth` of them: `cut_reply` and `cut_request` after
`size` bytes, `drop_reply`, `inject`, `orphan` (it is passed on, its sender's connection ends, and the server does not
hear of that). Connections end by `how`: `rst` or `fin`.
"""

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.resp import Splitter
from tests.helpers import free_port, wait_until

ROOT = Path(__file__).parents[2]
_SLICES = 20  # a second, of a limited rate


@dataclass
class Order:
    """What shall be done: to everything (a mode), or to one command (a shot)."""

    name: str = "pass"
    match: str = ""
    nth: int = 1
    size: int = 0
    how: str = "rst"
    text: str = ""
    seconds: float = 0.0
    probability: float = 1.0


PASS = Order()


class Switchboard:
    """What holds now, and what has been done."""

    def __init__(self, seed: int) -> None:
        self.mode = PASS
        self.shots: list[Order] = []
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        #: Whether the last reply to be cut was shorter than that.
        self.whole = False
        self.connections: set[Connection] = set()

    def order_for(self, command: bytes) -> Order:
        """Return what becomes of a command; a shot that hits is used up."""
        for shot in self.shots:
            if shot.match.encode() in command:
                shot.nth -= 1
                if shot.nth == 0:
                    self.shots.remove(shot)
                    return self._counted(shot)
        mode = self.mode
        if mode.match and mode.match.encode() not in command:
            return PASS
        if mode.name in ("drop", "garbage", "inject") and self.random.random() >= mode.probability:
            return PASS
        return PASS if mode.name == "pass" else self._counted(mode)

    def _counted(self, order: Order) -> Order:
        self.done[order.name] += 1
        return order


class Connection:
    """One client and its connection to the server."""

    def __init__(self, board: Switchboard, client: Any, server: Any) -> None:
        self._board = board
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        #: What becomes of each reply that is due, in order.
        self._due: deque[Order] = deque()
        #: Whether something that was sent has vanished: then so does all that follows, as no stream has a hole.
        self._swallows = False
        #: Whether the client is to be cut off from a server that goes on.
        self._orphaned = False

    async def run(self) -> None:
        self._board.connections.add(self)
        tasks = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.end("fin")
        self._board.connections.discard(self)

    def forget(self) -> None:
        """Pass nothing on anymore, and tell neither side: as a firewall that has forgotten a connection."""
        self._swallows = True

    def end(self, how: str) -> None:
        """Close both sides; with `rst` the client's kernel is told that the connection is no more."""
        if how == "rst":
            raw = self._to_client.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._to_client.close()
        self._to_server.close()

    async def _requests(self) -> None:
        splitter = Splitter()
        while data := await self._from_client.read(65536):
            self._swallows = self._swallows or self._board.mode.name == "blackhole"
            if self._swallows:
                self._board.done["blackhole"] += 1
                continue
            for command in splitter.feed(data):
                if not await self._request(command, self._board.order_for(command)):
                    return
            if self._orphaned:
                self._to_client.transport.abort()
                await asyncio.Event().wait()

    async def _request(self, command: bytes, order: Order) -> bool:
        """Pass a command on, or not. Returns whether the connection goes on."""
        if order.name == "cut_request":
            self._to_server.write(command[: order.size])
            await self._to_server.drain()
            self.end(order.how)
            return False
        self._due.append(order)
        self._orphaned = self._orphaned or order.name == "orphan"
        if order.name == "inject":
            await self._inject()
        else:
            self._to_server.write(command)
            await self._to_server.drain()
        return True

    async def _replies(self) -> None:
        splitter = Splitter()
        while data := await self._from_server.read(65536):
            if self._swallows:
                continue
            # Once for all that came together: a long way delays replies, it does not thin them out.
            if self._board.mode.name == "delay":
                await asyncio.sleep(self._board.mode.seconds)
            for reply in splitter.feed(data):
                await self._inject()
                order = self._due.popleft()
                if not await self._reply(reply, order):
                    return
            await self._inject()

    async def _reply(self, reply: bytes, order: Order) -> bool:
        if order.name in ("drop", "drop_reply", "cut_reply"):
            self._board.whole = order.size >= len(reply)
            self._to_client.write(reply[: order.size])
            await self._to_client.drain()
            self.end(order.how)
            return False
        if order.name == "garbage":
            reply = b"\xff" + bytes(self._board.random.randrange(256) for _ in range(64)) + b"\r\n"
        await self._send(reply)
        return True

    async def _inject(self) -> None:
        """Answer ourselves what is next in order."""
        while self._due and self._due[0].name == "inject":
            await self._send(f"-{self._due.popleft().text}\r\n".encode())

    async def _send(self, reply: bytes) -> None:
        mode = self._board.mode
        while self._board.mode.name == "blackhole":
            await asyncio.sleep(0.02)
        step = max(mode.size // _SLICES, 1) if mode.name == "rate" else len(reply)
        for start in range(0, len(reply), step):
            self._to_client.write(reply[start : start + step])
            await self._to_client.drain()
            if mode.name == "rate":
                await asyncio.sleep(1 / _SLICES)


class Program:
    """The process: a listener, and a control socket that takes one order a line."""

    def __init__(self, server: str, seed: int, port: int) -> None:
        self._server = server
        self._board = Switchboard(seed)
        self._listener: asyncio.Server | None = None
        self._port = port

    async def run(self, control: str) -> None:
        await self._listen()
        async with await asyncio.start_unix_server(self._control, control) as steering:
            await steering.serve_forever()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_unix_connection(self._server)
        except OSError:
            # Who looks for a server that is gone finds nobody.
            writer.transport.abort()
            return
        await Connection(self._board, (reader, writer), server).run()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            answer = await self._obey(json.loads(line))
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def _obey(self, order: dict[str, Any]) -> Any:
        what = order.pop("what")
        if what == "shot":
            self._board.shots.append(Order(**order))
            # What is said of the last one that was cut is not said of this one.
            self._board.whole = False
        elif what == "mode":
            self._board.mode = Order(**order)
            await self._open(self._board.mode.name != "refuse")
        elif what == "hang_up":
            for connection in list(self._board.connections):
                connection.end(order["how"])
        elif what == "forget":
            for connection in list(self._board.connections):
                connection.forget()
        return {
            "done": self._board.done,
            "shots": len(self._board.shots),
            "whole": self._board.whole,
        }

    async def _open(self, wanted: bool) -> None:
        if wanted and self._listener is None:
            await self._listen()
        elif not wanted and self._listener is not None:
            self._listener.close()
            self._listener = None
            for connection in list(self._board.connections):
                connection.end("rst")


class Proxy:
    """A running proxy before the server whose unix socket is given. A context manager."""

    def __init__(self, folder: Path, server_socket: Path, *, seed: int = 1) -> None:
        self._path = folder / f"proxy-{random.randrange(10**9)}.sock"
        # None that the system gives to a connection of somebody else while the proxy refuses its own.
        self.port = free_port()
        words = [str(server_socket), str(self._path), str(seed), str(self.port)]
        command = [sys.executable, "-m", "tests.faults.proxy", *words]
        self._process = subprocess.Popen(command, cwd=ROOT)
        self._control = socket.socket(socket.AF_UNIX)
        wait_until(self._connected, 60, "the proxy")
        self._answers = self._control.makefile("rb")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def mode(self, name: str = "pass", **order: Any) -> None:
        """Let a mode hold from now on."""
        self._ask("mode", **asdict(Order(name, **order)))

    def shoot(self, name: str, **order: Any) -> None:
        """Do something to one command to come."""
        self._ask("shot", **asdict(Order(name, **order)))

    def hang_up(self, how: str = "rst") -> None:
        """End all connections."""
        self._ask("hang_up", how=how)

    def forget(self) -> None:
        """Forget all connections without a word; new ones work."""
        self._ask("forget")

    def done(self, name: str) -> int:
        """Return how often something was done."""
        return self._ask("look")["done"].get(name, 0)

    def whole(self) -> bool:
        """Return whether the last cut came after the last byte of its reply."""
        return self._ask("look")["whole"]

    def shots_left(self) -> int:
        return self._ask("look")["shots"]

    def close(self) -> None:
        self._answers.close()
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _connected(self) -> bool:
        try:
            self._control.connect(str(self._path))
        except OSError:
            return False
        return True

    def _ask(self, what: str, **order: Any) -> dict[str, Any]:
        self._control.sendall(json.dumps({"what": what, **order}).encode() + b"\n")
        return json.loads(self._answers.readline())


if __name__ == "__main__":
    asyncio.run(Program(sys.argv[1], int(sys.argv[3]), int(sys.argv[4])).run(sys.argv[2]))

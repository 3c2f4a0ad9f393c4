"""A TLS server in front of one that has none, like stunnel or a cloud's load balancer."""

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path

from tests.certificates import Certificate


class TlsEndpoint:
    """Decrypts connections to `port` and passes them on to a port of this machine, or to a socket. A context manager.

    With an authority, clients need a certificate that it has signed. Without a certificate, it has no TLS.
    """

    def __init__(
        self, target: int | Path, certificate: Certificate | None, *, clients: Path | None = None, port: int = 0
    ) -> None:
        self.port = port
        self._target = target
        self._is_plain = certificate is None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if certificate is not None:
            self._context.load_cert_chain(*certificate)
        #: The names that clients have asked for (SNI).
        self.names: list[str | None] = []
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def present(self, certificate: Certificate) -> None:
        """Present another certificate from now on."""
        self._context.load_cert_chain(*certificate)

    def __enter__(self) -> "TlsEndpoint":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        self._tasks: set[asyncio.Task[None]] = set()
        context = None if self._is_plain else self._context
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)

    async def _stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A transport is closed in the loop's next round.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        # The stream's own callback can't deal with a cancelled task.
        with suppress(OSError, asyncio.CancelledError):
            inner_reader, inner_writer = await self._open()
            ways = [asyncio.ensure_future(_pass(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
            try:
                # The one that ends first ends the other.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                inner_writer.transport.abort()
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        writer.transport.abort()
        self._tasks.discard(task)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

"""A mail server that stores received messages: `python -m gopher.cli.demo_mail PORT FOLDER`.

It speaks real SMTP on the loopback interface; each message becomes a file `<number>.eml` in the folder.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP


class Sink:
    """Writes each message into a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self._count += 1
        path = self._folder / f"{self._count}.eml"
        # Renamed when complete: the demo polls for it.
        path.with_suffix(".part").write_bytes(envelope.content)
        path.with_suffix(".part").rename(path)
        print(f"message {self._count} for {', '.join(envelope.rcpt_tos)}", flush=True)
        return "250 Message accepted"


async def serve(port: int, folder: Path) -> None:
    """Accept mail until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    sink = Sink(folder)
    async with await loop.create_server(lambda: SMTP(sink, loop=loop), "127.0.0.1", port):
        print(f"mail server on port {port}", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))

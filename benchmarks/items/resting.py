"""The cost of an idle worker, and how long it takes to start."""

import socket
import time

from benchmarks.contenders import Contender
from benchmarks.lab import family_memory, family_seconds, lab

from . import Figure, Item, alone, queues

#: Seconds after its first job until a worker is idle.
SETTLE = 1.0


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    idle = max(4.0 * seconds, 1.0)
    with lab(contender) as made:
        made.send("noop", 1)
        began = time.perf_counter()
        with made.worker() as root:
            start = made.wait_for(1) - began
            time.sleep(SETTLE)
            busy = family_seconds(root)
            commands = _commands_sent(made.server.port, idle)
            busy = family_seconds(root) - busy
            return {
                "cold start": start,
                "worker memory": family_memory(root),
                "idle commands": commands / idle,
                "idle CPU": busy / idle * 100,
            }


def _commands_sent(port: int, seconds: float) -> int:
    """Return how many commands clients send within the given seconds; those in a script count as one."""
    deadline = time.monotonic() + seconds
    seen = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                seen += connection.recv(65536)
            except TimeoutError:
                break
    return sum(b" lua]" not in line for line in seen.splitlines() if b"[" in line)


ITEM = Item(
    "rest",
    (
        Figure("cold start", "s to the first job", "less"),
        Figure("worker memory", "MB PSS", "less"),
        Figure("idle commands", "commands/s", "less"),
        Figure("idle CPU", "% of a core", "less"),
    ),
    queues,
    alone(measure),
    once=True,
)

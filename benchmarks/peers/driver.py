"""The same three verbs for every contender: `send`, `trickle COUNT PAUSE`, `worker`.

`send` reads lines `JOB COUNT HOW` from stdin, sends the jobs, and prints the seconds that each line took.

Each peer's file has its functions for sending, and starts its workers: two processes.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence

PROCESSES = 2
#: The payload of a job: 100 bytes of JSON.
PAYLOAD = {"x": "y" * 92}
FILES = os.path.dirname(os.path.abspath(__file__))

Send = Callable[[str, dict], None]
SendMany = Callable[[str, list[dict]], None]


def server_port() -> int:
    return int(os.environ["BENCH_PORT"])


def server_url(scheme: str = "redis") -> str:
    return f"{scheme}://127.0.0.1:{server_port()}/0"


def program(name: str) -> str:
    """Return the path of a program in this environment."""
    return os.path.join(os.path.dirname(sys.executable), name)


def drive(send: Send, worker: Sequence[str] | Callable[[], None], send_many: SendMany | None = None) -> None:
    """Run the command line."""
    verb, *rest = sys.argv[1:]
    if verb == "worker":
        if callable(worker):
            worker()
        else:
            os.chdir(FILES)
            os.execv(worker[0], list(worker))
    elif verb == "send":
        send("warm", PAYLOAD)
        for line in sys.stdin:
            job, count, how = line.split()
            print(_send(send, send_many, job, int(count), how), flush=True)
    elif verb == "trickle":
        _trickle(send, int(rest[0]), float(rest[1]))


def _send(send: Send, send_many: SendMany | None, job: str, count: int, how: str) -> float:
    began = time.perf_counter()
    if how == "many" and send_many is not None:
        for at in range(0, count, 1000):
            send_many(job, [PAYLOAD] * min(1000, count - at))
    else:
        for _ in range(count):
            send(job, PAYLOAD)
    return time.perf_counter() - began


def _trickle(send: Send, count: int, pause: float) -> None:
    """Send one job at a time to an idle worker."""
    for _ in range(count):
        time.sleep(pause)
        send("stamp", {"sent": time.time_ns()})

"""What a program that submits jobs installs and imports: `python -m benchmarks.installation WHEEL`.

Each library in a new environment, with what it needs for Redis. CPU time of a process that imports it and submits a
job, the least of several runs: other programs only make it longer.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gopher.server.embedded import EmbeddedServer

_RUNS = 15
_END = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""
#: Name -> what to install, and a program that submits a job to the server at URL.
_LIBRARIES = {
    "Gopher": ("", "import gopher\nwith gopher.Client(URL) as client:\n    client.enqueue('f', {'n': 1})"),
    "Celery": (
        "celery[redis]",
        "from celery import Celery\napp = Celery('a', broker=BROKER)\napp.send_task('f', kwargs={'n': 1})",
    ),
    "RQ": (
        "rq",
        "from redis import Redis\nfrom rq import Queue\nQueue(connection=Redis.from_url(URL)).enqueue('f.f', n=1)",
    ),
    "Dramatiq": (
        "dramatiq[redis]",
        "import dramatiq\nfrom dramatiq.brokers.redis import RedisBroker\ndramatiq.set_broker(RedisBroker(url=URL))\n@dramatiq.actor\ndef f(n): pass\nf.send(n=1)",  # noqa: E501
    ),
}


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gopher-benchmark-") as folder,
        EmbeddedServer(folder, port=_port()) as used,
    ):
        url = f"redis://127.0.0.1:{used.port}/0"
        print("| | distributions | CPU of import and submit |\n|---|--:|--:|")
        for name, (wanted, program) in _LIBRARIES.items():
            python = _install(Path(folder, name), wanted or sys.argv[1])
            code = f"URL = BROKER = {url!r}\n{program}{_END}"
            seconds = min(float(_run([python, "-I", "-c", code])) for _ in range(_RUNS))
            listed = _run([python, "-m", "pip", "list", "--format", "freeze"]).splitlines()
            count = len({line.partition("==")[0] for line in listed} - {"pip", "setuptools"})
            print(f"| {name} | {count} | {seconds * 1000:.0f} ms |", flush=True)


def _port() -> int:
    from gopher.cli.http import free_port

    return free_port()


def _install(place: Path, wanted: str) -> str:
    _run([os.environ.get("PYTHON", sys.executable), "-m", "venv", str(place)])
    python = str(place / "bin" / "python")
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted])
    return python


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd="/").stdout


if __name__ == "__main__":
    main()

"""What a run came from: machine and versions, without any name of a host."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from gopher import __version__
from gopher.embedded import find_server


def describe() -> dict[str, str]:
    """Return what to write beside the figures."""
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "server": server_version(),
        "Gopher": __version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def sentence(about: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items())


def server_version() -> str:
    told = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True).stdout.split()
    name = "Valkey" if told[0].lower().startswith("valkey") else "Redis"
    words = dict(part.split("=", 1) for part in told if "=" in part)
    return f"{name} {words.get('v', '?')} ({words.get('malloc', '?')})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

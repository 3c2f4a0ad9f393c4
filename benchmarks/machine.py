"""Machine and versions of a run, without host names."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from gopher import __version__

from . import server


def describe() -> dict[str, str]:
    """Return the description for the report."""
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "server": server.version(),
        "Gopher": __version__,
        "date": datetime.now(UTC).date().isoformat(),
    }


def sentence(about: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

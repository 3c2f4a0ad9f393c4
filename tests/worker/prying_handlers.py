"""A handler that tells what it can see of the environment, for the tests of what is hidden from it."""

import os
import subprocess
from pathlib import Path
from typing import Any

from gopher import Job, handler

#: What its module sees while it is loaded.
AT_LOADING = dict(os.environ)


@handler("pries")
def pries(job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """Returns all places where a secret may be."""
    shown = {
        "at loading": str(AT_LOADING),
        "os.environ": str(dict(os.environ)),
        "getenv": str([os.getenv(name) for name in payload["names"]]),
        "own": _environ("self"),
        "parent": _environ(str(os.getppid())),
        "program": subprocess.run(["env"], capture_output=True, text=True, check=True).stdout,
    }
    status = Path("/proc/self/status").read_text()
    return {
        "seen": [place for place, text in shown.items() if any(secret in text for secret in payload["secrets"])],
        "others": "SHOWN=yes" in shown["program"] and "PATH=" in shown["parent"],
        "no_new_privs": "NoNewPrivs:\t1" in status,
    }


def _environ(pid: str) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").replace("\0", "\n")

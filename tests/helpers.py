"""What tests of every part use."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
    """Return the first true value of `condition`, polled; fail, saying what was last seen, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"waited {timeout:g} s for {name}; it was last {value!r}")
        time.sleep(0.01)


def make_certificate(folder: Path, name: str) -> Path:
    """Make a certificate for a host, signed by itself, with its key in the same file. Needs openssl."""
    path = folder / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout".split()
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, path, "-out", folder / "cert.pem", *names], check=True, capture_output=True)
    with path.open("ab") as file:
        file.write((folder / "cert.pem").read_bytes())
    return path

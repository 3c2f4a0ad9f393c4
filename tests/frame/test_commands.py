"""Gopher starts the same from its checkout and from anywhere else, by its command and by its module."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gopher

COMMANDS = {
    "command": [str(Path(sys.executable).with_name("gopherctl"))],
    "module": [sys.executable, "-m", "gopher.cli"],
}


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
@pytest.mark.parametrize("way", COMMANDS)
@pytest.mark.parametrize("arguments", [["--version"], ["web", "--help"], ["worker", "--help"], ["scheduler", "--help"]])
def test_starts_both_ways_from_any_folder(root, tmp_path, place, way, arguments):
    folder = root if place == "checkout" else tmp_path
    answer = run([*COMMANDS[way], *arguments], folder)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout


def test_says_its_version(root):
    assert gopher.__version__ in run([*COMMANDS["command"], "--version"], root).stdout


def test_a_users_own_package_called_app_is_left_alone(tmp_path):
    for name in ("app", "worker", "scheduler", "cli", "testing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user was loaded')\n")
    program = "import gopher.app, gopher.worker, gopher.scheduler, gopher.cli, gopher.testing"
    answer = run([sys.executable, "-c", program], tmp_path)
    assert answer.returncode == 0, answer.stderr


def test_wrong_settings_stop_a_process_at_start_with_all_of_them_named(tmp_path):
    answer = run([*COMMANDS["command"], "worker"], tmp_path, WORKER_LEASE="soon", LOG_LEVEL="loud")
    assert answer.returncode not in (0, None)
    assert "WORKER_LEASE='soon'" in answer.stderr
    assert "LOG_LEVEL='loud'" in answer.stderr
    assert "Traceback" not in answer.stderr


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=30, check=False)

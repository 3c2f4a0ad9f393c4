"""Environments in which a wheel of the checkout is installed, as a user would."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_FOLDERS = ("app", "cli", "gopher", "scheduler", "testing", "worker")
_FILES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg", "setup.py")


def copied(folder: Path) -> Path:
    """Copy what is built: setuptools leaves its own files in the source folder, and reads them the next time."""
    for name in _FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for link in (folder / "gopher").iterdir():
        if link.is_symlink():
            link.unlink()
    return folder


def wheel_of(source: Path) -> Path:
    """Build a wheel of a copy, and return its path."""
    words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source / "dist", source]
    run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words])
    (path,) = (source / "dist").glob("*.whl")
    return path


def core(setup_cfg: Path = ROOT / "setup.cfg") -> list[Requirement]:
    """Return what the core requires."""
    parser = configparser.RawConfigParser()
    parser.read(setup_cfg)
    return [Requirement(line) for line in parser["options"]["install_requires"].splitlines() if line.strip()]


def lowest() -> list[str]:
    """Return the lowest version of each requirement of the core, as constraints."""
    bounds = [(each.name, [part.version for part in each.specifier if part.operator == ">="]) for each in core()]
    return [f"{name}=={version}" for name, (version,) in bounds]


class Environment:
    """A virtual environment, made by the oldest Python that there is here."""

    def __init__(self, place: Path) -> None:
        self.bin = place / "bin"
        run([shutil.which("python3.11", path=f"{os.environ['PATH']}:/usr/bin") or sys.executable, "-m", "venv", place])

    def pip(self, *words: str | Path) -> str:
        return run([self.bin / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", *words])


def run(command: list[str | Path], **options: object) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return str(done.stdout)

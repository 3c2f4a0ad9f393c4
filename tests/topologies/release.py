"""The release before this one, as a wheel that is built from its commit and installed into an environment of its own.

`tests/releases.txt` names the commit. The environment is kept in .venv/releases.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_RELEASES = ROOT / "tests" / "releases.txt"
_KEPT = ROOT / ".venv" / "releases"


@cache
def release_before() -> Path:
    """Return the Python of an environment with the release before; fail if that can't be built."""
    commit = commits(_RELEASES.read_text())[0]
    place = _KEPT / f"{commit[:12]}-{sys.version_info.major}.{sys.version_info.minor}"
    if not place.exists():
        require(commit, ROOT)
        with tempfile.TemporaryDirectory(prefix="gopher-release-") as folder:
            wheel, lock = _build(commit, Path(folder))
            _install(wheel, lock, place)
    return place / "bin" / "python"


def commits(text: str) -> list[str]:
    """Return the commits that a list of releases names."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def require(commit: str, repository: Path) -> None:
    found = subprocess.run(["git", "-C", repository, "cat-file", "-e", f"{commit}^{{commit}}"], check=False)
    if found.returncode:
        pytest.fail(
            f"the release before is commit {commit} (tests/releases.txt), which this clone does not have: "
            "get the whole history with `git fetch --unshallow`",
            pytrace=False,
        )


def _build(commit: str, folder: Path) -> tuple[Path, Path]:
    """Build the wheel of a commit; return it, and the versions that the release was tested with."""
    source = folder / "source"
    source.mkdir()
    archive = folder / "source.tar"
    _run(["git", "-C", ROOT, "archive", "--output", archive, commit])
    shutil.unpack_archive(archive, source, filter="data")
    _pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, source)
    lock = folder / "lock.txt"
    lines = (source / "requirements.txt").read_text().splitlines()
    lock.write_text("\n".join(line for line in lines if "==" in line and not line.startswith("#")))
    (wheel,) = folder.glob("*.whl")
    return wheel, lock


def _install(wheel: Path, lock: Path, place: Path) -> None:
    """Make an environment with a wheel. It appears at its place once it is complete."""
    unfinished = place.with_name(f"{place.name}-{os.getpid()}")
    try:
        _run([sys.executable, "-m", "venv", unfinished])
        _pip(unfinished / "bin" / "python", "install", "--constraint", lock, f"{wheel}[all]")
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _pip(python: Path, *arguments: str | Path) -> None:
    _run([python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        pytest.fail(f"can't build the release before: {' '.join(map(str, command))}\n{done.stderr}", pytrace=False)

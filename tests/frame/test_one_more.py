"""One more priority, one more state that ends and one that waits: a row in a table each, and all of Gopher has it.

The rows are put into a copy of the source, laid out as it is installed. What the copy must do stands in `one_more/`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frame.test_packages import MAPPED

#: File of the copy -> the line that a row is put behind, and the rows.
ROWS = {
    "gopher/base/priorities.py": ("_TABLE = (", ['    Priority("urgent", 9),']),
    "gopher/base/states.py": (
        '    EXPIRED = ("expired",',
        [
            '    SKIPPED = ("skipped", Kind.FINISHED, "Skipped", "bright_black", "Jobs that nobody wants any more.")',
            '    POSTPONED = ("postponed", Kind.TIMED, "Postponed", "magenta", "Jobs that were begun and wait.")',
        ],
    ),
    "gopher/base/counters.py": (
        "COUNTERS = (",
        ['    Counter("skipped", (TYPE,), "gopher_jobs_skipped", "Jobs skipped.", outcome=True, leaves=True),'],
    ),
    "gopher/queue/keys.py": ("    retrying = _key(", ['    postponed = _key("zset", "id -> due (ms)")']),
    "gopher/jobs/stats.py": ("    retrying: int", ["    postponed: int"]),
}
#: A verb that moves jobs into a new state: one that there is, and what it says otherwise.
VERBS = {
    "skip": ("cancel", {"STATE.cancelled": "STATE.skipped", "COUNTER.cancelled": "COUNTER.skipped"}),
    "postpone": ("requeue", {"STATE.scheduled": "STATE.postponed", "KEY.scheduled": "KEY.postponed"}),
}


@pytest.fixture(scope="module")
def copy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("one-more")
    # What is compiled already counts in the copy, too, but for tests, whose assertions name their files.
    left_out = shutil.ignore_patterns("node_modules", "*-pytest-*", "*.pyc.*")
    for folder, package in MAPPED.items():
        shutil.copytree(root / folder, copy / package.replace(".", "/"), ignore=left_out, dirs_exist_ok=True)
    shutil.copytree(root / "tests", copy / "tests", ignore=left_out)
    shutil.copy(root / "setup.cfg", copy)
    for name, (after, rows) in ROWS.items():
        add_rows(copy / name, after, rows)
    scripts = copy / "gopher/queue/lua"
    for verb, (like, others) in VERBS.items():
        text = (scripts / f"{like}.lua").read_text()
        for old, new in others.items():
            assert old in text, f"{like}.lua does not say {old} any more"
            text = text.replace(old, new)
        (scripts / f"{verb}.lua").write_text(text)
    return copy


def add_rows(path: Path, after: str, rows: list[str]) -> None:
    lines = path.read_text().splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith(after))
    path.write_text("\n".join([*lines[: place + 1], *rows, *lines[place + 1 :], ""]))


@pytest.mark.parametrize("looks", ["moves", "system"])
def test_a_row_in_a_table_is_all_that_a_priority_or_a_state_needs(copy, looks):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/frame/one_more/{looks}.py"]
    environ = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

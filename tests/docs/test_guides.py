"""The guides for those who come from another queue: all that they show is run, with a real server and worker."""

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from tests.docs.console import Command, Terminal, commands
from tests.docs.system import GUIDES, ROOT, modules_of, running_system
from tests.docs.test_examples import complaint

_CODE = re.compile(r"`([^`]+)`")
_SETTING = re.compile(r"([A-Z]+_[A-Z_]+)=(\S+)")
#: What the cells of a table may use: everything of the guide's module, and a client.
PRELUDE = """\
import sys
from datetime import UTC, datetime, timedelta
from gopher import Client, Schedule, task
from gopher.retry import Backoff
from gopher.submission import ScheduleSpec
from gopher.testing import EagerClient
import {module}
from {module} import *

client = Client()
names, when, on_commit = ["ann", "ben"], datetime.now(UTC) + timedelta(hours=1), lambda function: function()
delay_on_commit = lambda function, *arguments: function.delay(*arguments)
job_id = {module}.{first}.delay(3).id
{module}.{first}.handle(job_id).result(timeout=30)
later_id = {module}.{first}.options(delay="1h").delay(3).id
"""


def rows(page: str, heading: str) -> Iterator[list[str]]:
    """Yield the cells of the table below a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def written(page: str) -> list[str]:
    """Return each piece of code in the column of what to write."""
    return [code for row in rows(page, "You wrote, you write") for code in _CODE.findall(row[1])]


@pytest.mark.parametrize("name", GUIDES)
def test_the_defaults_in_a_guide_are_those_of_the_settings(name: str) -> None:
    table = list(rows((ROOT / name).read_text(), "Read this first"))
    defaults = {variable.name: variable.default for variable in Settings.variables()}
    named = [found for row in table for found in _SETTING.findall(" ".join(_CODE.findall(row[2])))]
    assert len(named) >= 6
    assert dict(named) == {setting: defaults[setting] for setting, _ in named}
    kept = [found for row in table for found in _SETTING.findall(" ".join(_CODE.findall(row[3])))]
    assert kept
    Settings.from_env(dict(kept))


@pytest.mark.deep
@pytest.mark.parametrize("name", GUIDES)
def test_everything_that_a_guide_tells_to_write_runs(name: str) -> None:
    page = (ROOT / name).read_text()
    with tempfile.TemporaryDirectory(prefix="gopher-docs-") as folder, running_system(Path(folder), page) as terminal:
        for command in commands(page):
            assert not complaint(terminal, command), command.text
        cells = written(page)
        assert len(cells) >= 25
        in_python = [cell for cell in cells if not cell.startswith("gopherctl ")]
        said = _run_python(terminal, page, in_python)
        assert said.count("ran ") == len(in_python), said
        for cell in cells:
            if cell not in in_python:
                _run_command(terminal, cell)


def _run_python(terminal: Terminal, page: str, cells: list[str]) -> str:
    """Run each cell as a statement, or, if it is a decorator, on a function."""
    module, source = next((name, text) for name, text in modules_of(page).items() if "@task" in text)
    first = re.findall(r"@task\(.*timeout=.*\)\ndef (\w+)\(", source)[0]
    script = PRELUDE.format(module=module, first=first)
    for number, cell in enumerate(cells):
        decorated = "job" if "bind" in cell else ""
        code = f"{cell}\ndef cell_{number}({decorated}): ..." if cell.startswith("@") else cell
        script += f"{code}\nprint('ran', {number})\n"
    (terminal.folder / "cells.py").write_text(script)
    return terminal.run(Command("python cells.py", "?"))


def _run_command(terminal: Terminal, cell: str) -> None:
    """Run a command to its end: a worker ends once nothing waits, and a scheduler is stopped."""
    environ = {**terminal.environ, "WORKER_BURST": "1"}
    with subprocess.Popen(
        shlex.split(cell), cwd=terminal.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        if "scheduler" in cell:
            for line in process.stdout:
                if "scheduler started" in line:
                    process.terminate()
        said = process.stdout.read()
    assert process.returncode == 0, said
